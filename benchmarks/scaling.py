"""How many images a second n devices train on, by a model of a few constants; docs/scaling.md states it.

    python benchmarks/scaling.py                                              measures the constants on this machine
    python benchmarks/scaling.py --images-per-second R --bandwidth B --read N  takes them as they are said

Of `model=alexnet`. images-per-second: of one device alone; bandwidth: bytes a second that a device sends to another;
read: images a second that a machine reads (`make bench-data`). What is not said is measured, on the CPU: a step of one
process with one thread, the averaging of all gradients between two processes over gloo. Reading is measured by
`make bench-data` alone: without --read it is left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F

from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.networks.build import build_network
from alexnet_lab.training.recipe import make_optimizer
from alexnet_lab.weights.external_weights import preset

GRADIENT = 4 * 60_965_224  # bytes: of every weight
ACTIVATIONS = 4 * 57_576  # bytes that a tower sends for an image, forward and backward (docs/towers.md)
FORWARD = 1 / 3  # of a step; averaging of gradients begins when it is over
DEVICES = (1, 2, 8, 64, 512)


def ddp_seconds(images: float, devices: int, rate: float, bandwidth: float) -> float:
    """A step of so many images on each device, whose gradients are averaged during the backward pass."""
    averaging = 2 * (devices - 1) / devices * GRADIENT / bandwidth
    return images / rate * FORWARD + max(images / rate * (1 - FORWARD), averaging)


def towers_seconds(images: float, pairs: int, rate: float, bandwidth: float) -> float:
    """A step of so many images on each pair: half of the work for each device, and waiting for what is fetched."""
    work, fetching = images / rate / 2, images * ACTIVATIONS / bandwidth
    averaging = 2 * (pairs - 1) / pairs * GRADIENT / 2 / bandwidth
    return work * FORWARD + fetching + max(work * (1 - FORWARD), averaging)


def crossing(rate: float, bandwidth: float) -> float:
    """The images of a step on two devices below which towers are faster than ddp."""
    return GRADIENT / (bandwidth * (1 - FORWARD) / 2 / rate + ACTIVATIONS)


def measured_rate(batch: int = 16) -> float:
    """Images a second of one process with one thread; the second of two steps."""
    keep_freed_memory()
    torch.set_num_threads(1)
    network = build_network(preset("alexnet"), 1000).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, OptimizationConfig())
    pixels = 60 * torch.randn(batch, 3, 224, 224).to(memory_format=torch.channels_last)
    for _ in range(2):
        start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(pixels), torch.arange(batch)).backward()
        optimizer.step()
    return batch / (time.perf_counter() - start)


def _average(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    gradient = torch.ones(GRADIENT // 4)
    for _ in range(2):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(gradient)
        seconds = time.perf_counter() - start
    if rank == 0:
        Path(folder, "seconds").write_text(str(seconds), encoding="utf-8")
    dist.destroy_process_group()


def measured_bandwidth() -> float:
    """Bytes a second between two processes of this machine over gloo; the second of two averagings."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.start_processes(_average, (folder,), nprocs=2, start_method="spawn")
        return GRADIENT / float(Path(folder, "seconds").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images-per-second", type=float)
    parser.add_argument("--bandwidth", type=float)
    parser.add_argument("--read", type=float, default=float("inf"))
    parser.add_argument("--devices-per-machine", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128, help="images a step for each device")
    arguments = parser.parse_args()
    rate = arguments.images_per_second or measured_rate()
    bandwidth = arguments.bandwidth or measured_bandwidth()
    read = arguments.read
    print(f"a device: {rate:,.1f} images/s; between two: {bandwidth / 1e6:,.0f} MB/s; a machine reads {read:,.0f}")
    print(f"{'devices':>8}{'images a step':>15}{'ddp':>12}{'towers':>12}{'jobs':>12}   images/s; what limits ddp")
    rows = []
    for devices in DEVICES:
        images = arguments.batch
        reading = -(-devices // arguments.devices_per_machine) * read
        ddp = devices * images / ddp_seconds(images, devices, rate, bandwidth)
        pairs = devices // 2
        towers = pairs * 2 * images / towers_seconds(2 * images, pairs, rate, bandwidth) if pairs else 0.0
        jobs = devices * rate
        limit = "reading" if ddp > reading else "averaging" if ddp < 0.999 * jobs else "computing"
        row = [min(ddp, reading), min(towers, reading / 2), min(jobs, reading)]  # a pair reads each image twice
        rows.append({"devices": devices, "ddp": row[0], "towers": row[1], "jobs": row[2], "limit": limit})
        print(f"{devices:8}{devices * images:15,}" + "".join(f"{value:12,.0f}" for value in row) + f"   {limit}")
    point = crossing(rate, bandwidth)
    print(f"on two devices towers are faster than ddp below {point:,.0f} images a step")
    print(json.dumps({"images_per_second": rate, "bandwidth": bandwidth, "crossing": point, "rows": rows}))


if __name__ == "__main__":
    main()
