"""Time of a whole training step of two-tower AlexNet at 224 pixels, ours and as stock PyTorch writes it.

    python benchmarks/training_step.py [--batch 64] [--threads 2] [--repeats 5]

Forward, cross-entropy, backward and SGD with momentum and weight decay, float32, on random pixels. The layers are the
same in both, in the paper's order: `stock` has nn.LocalResponseNorm over all kernels, NCHW tensors and
torch.optim.SGD as they come; `ours` is this project's network, memory format, optimizer and setting of the memory
allocator as a run has them. `stock, memory kept` has that setting too. `preset` is `model=alexnet`, which has one more
layer, the original program's normalization within maps.
Each has a process of its own, in which the others' settings do not show; their steps take turns, and figures are
medians. Another program on the machine blurs them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import nn

from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.networks.build import build_network
from alexnet_lab.training.recipe import make_optimizer
from alexnet_lab.weights.external_weights import preset


def stock_network() -> nn.Module:
    """The paper's layers in torch.nn's modules."""
    return nn.Sequential(
        nn.ZeroPad2d((0, 3, 0, 3)),
        nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), nn.LocalResponseNorm(5, k=2.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(5, k=2.0), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000),
    )  # fmt: skip


def stock_step(batch: int, device: str) -> Callable[[], object]:
    network = stock_network().to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    return _step(network, optimizer, torch.randn(batch, 3, 224, 224, device=device) * 60)


def our_step(batch: int, device: str, **options: object) -> Callable[[], object]:
    network = build_network(replace(preset("alexnet"), **options), 1000)  # type: ignore[arg-type]
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.randn(batch, 3, 224, 224, device=device) * 60
    return _step(network, make_optimizer(network, OptimizationConfig()), pixels.to(memory_format=torch.channels_last))


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, pixels: torch.Tensor) -> Callable[[], object]:
    labels = torch.arange(len(pixels), device=pixels.device) % 1000

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(pixels), labels).backward()
        optimizer.step()

    return step


CASES: dict[str, tuple[bool, Callable[[int, str], Callable[[], object]]]] = {  # whether memory is kept, the step
    "stock": (False, stock_step),
    "stock, memory kept": (True, stock_step),
    "ours": (True, partial(our_step, layer_order="paper", spatial_normalization=False)),
    "preset": (True, our_step),
}


def serve(case: str, batch: int, device: str, threads: int, pipe: Connection) -> None:
    """In a process of its own: one step and its seconds for each message, until the pipe closes."""
    kept, make_step = CASES[case]
    if kept:
        keep_freed_memory()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # as a run does
    torch.manual_seed(0)
    step = make_step(batch, device)
    while pipe.recv():
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - start)


def measure(batch: int, device: str, threads: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each case's steps, which take turns so that a slow spell of the machine meets all of them."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for case in CASES:
        pipes[case], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(case, batch, device, threads, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for repeat in range(repeats + 2):
        for case, pipe in pipes.items():
            pipe.send(True)
            took = pipe.recv()
            if repeat > 1:  # the first two rounds warm up
                seconds[case].append(took)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    batch, device = arguments.batch, arguments.device
    measured = measure(batch, device, arguments.threads, arguments.repeats)
    medians = {name: statistics.median(times) for name, times in measured.items()}
    for name, seconds in medians.items():
        print(f"  {name:20}{1e3 * seconds:10.1f} ms {batch / seconds:10.1f} images/s")
    result = {
        "speedup": round(medians["stock"] / medians["ours"], 3),
        "speedup_over_stock_with_memory_kept": round(medians["stock, memory kept"] / medians["ours"], 3),
        "speedup_of_preset": round(medians["stock"] / medians["preset"], 3),
        "images_per_second": {name: round(batch / seconds, 1) for name, seconds in medians.items()},
        "batch": batch,
        "device": device,
        "threads": arguments.threads,
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
