"""What a tower on each of two devices costs and saves, beside data parallelism on two devices and one device.

    python benchmarks/towers.py [--batch 128] [--repeats 2] [--device cpu]

model=alexnet at 224 pixels with 1000 classes, batches of random pixels: forward, cross-entropy, backward, SGD. `one
device`: the network as it is; `ddp`: two processes with the network and half of each batch each, whose gradients
PyTorch's DistributedDataParallel averages; `towers`: two processes with a tower and the whole batch each. Sent bytes
are counted in each process where it hands them over; for ddp, whose all-reduce of two sends as many as it reduces,
these are the buckets. CPU processes have a thread each; with --device cuda there have to be two GPUs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.networks.build import build_network
from alexnet_lab.networks.towers import Exchange, keep_own_tower
from alexnet_lab.training.recipe import make_optimizer
from alexnet_lab.weights.external_weights import preset

CLASSES = 1000
ARRANGEMENTS = {"one device": 1, "ddp": 2, "towers": 2}  # processes


def measure(rank: int, arrangement: str, batch: int, repeats: int, device_type: str, folder: str) -> None:
    """One process of an arrangement; leaves what it found in a file."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    number = ARRANGEMENTS[arrangement]
    device = torch.device(device_type, rank if device_type == "cuda" else None)
    if number > 1:
        backend, meeting = "nccl" if device_type == "cuda" else "gloo", f"file://{folder}/{arrangement}"
        dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=number)
    network = build_network(preset("alexnet"), CLASSES)
    assert isinstance(network, AlexNet)
    exchange, sent = Exchange(rank), [0]
    if arrangement == "towers":
        keep_own_tower(network, exchange)
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model: nn.Module = network
    if arrangement == "ddp":
        model = nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)

        def counted(state: None, bucket: dist.GradBucket) -> Any:
            sent[0] += bucket.buffer().numel() * bucket.buffer().element_size()
            return allreduce_hook(state, bucket)

        counted.__annotations__ = {"bucket": dist.GradBucket}  # PyTorch looks at them, and will not have text
        model.register_comm_hook(None, counted)
    optimizer = make_optimizer(network, OptimizationConfig())
    images = batch // 2 if arrangement == "ddp" else batch
    pixels = 60 * torch.randn(images, 3, 224, 224, device=device).to(memory_format=torch.channels_last)
    labels = torch.arange(images, device=device) % CLASSES
    seconds = []
    for _ in range(repeats + 1):
        sent[0] = exchange.bytes_sent = 0
        if number > 1:
            dist.barrier()
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(model(pixels), labels).backward()
        optimizer.step()
        if device_type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    kept = [*network.parameters(), *(state["momentum_buffer"] for state in optimizer.state.values())]
    found = {
        "images_per_second": round(batch / statistics.median(seconds[1:]), 1),  # the first step warms up
        "bytes_sent": sent[0] + exchange.bytes_sent,
        "bytes_of_parameters_and_momentum": sum(tensor.numel() * tensor.element_size() for tensor in kept),
    }
    Path(folder, f"{arrangement} {rank}.json").write_text(json.dumps(found), encoding="utf-8")
    if number > 1:
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.device_count() > 1 else "cpu")
    arguments = parser.parse_args()
    print(f"{'':12}{'MB sent a step':>16}{'MB kept':>10}{'images/s':>10}   each process; batch {arguments.batch}")
    result: dict[str, Any] = {"batch": arguments.batch, "device": arguments.device, "torch": torch.__version__}
    for arrangement, number in ARRANGEMENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            own = (arrangement, arguments.batch, arguments.repeats, arguments.device, folder)
            multiprocessing.start_processes(measure, own, nprocs=number, start_method="spawn")
            files = [Path(folder, f"{arrangement} {rank}.json") for rank in range(number)]
            found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        for each in found:
            sent, kept = each["bytes_sent"] / 1e6, each["bytes_of_parameters_and_momentum"] / 1e6
            print(f"{arrangement:12}{sent:16.1f}{kept:10.1f}{each['images_per_second']:10.1f}")
        result[arrangement] = found
    print(json.dumps(result))


if __name__ == "__main__":
    main()
