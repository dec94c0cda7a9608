"""Time and memory of LocalResponseNorm (two towers) and nn.LocalResponseNorm, forward and backward, float32.

    python benchmarks/local_response_norm.py [--shape 32 96 55 55] [--threads 2] [--repeats 7]

Times are medians within one process, the cases taking turns. On a machine that other programs keep busy,
threads that wait for one another blur them; `ratio_of_shortest` suffers less. Peak memory is what a fresh
process holds at its peak (VmHWM in /proc/self/status, so only on Linux) beyond x and the gradient of y.
`ratio` and `memory_ratio` compare ours with nn.LocalResponseNorm, each in its faster layout. On a GPU,
`of_bandwidth_bound` is our time beside that of moving x and y once forward, and x and both gradients once
backward, at the speed of a copy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alexnet_lab.networks.local_response_norm import LocalResponseNorm

Case = tuple[str, str]  # a key of NORMS and one of LAYOUTS
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
NORMS: dict[str, Callable[[], nn.Module]] = {
    "nn": lambda: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0),
    "ours": lambda: LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0, groups=2),
}


def step(norm: str, layout: str, shape: list[int], device: str) -> Callable[[], object]:
    """Forward and backward on activations as the first layer's ReLU leaves them: about half of them 0."""
    module = NORMS[norm]()
    x = torch.randn(shape, device=device).mul_(30).relu_().to(memory_format=LAYOUTS[layout]).requires_grad_()
    y_gradient = torch.randn(shape, device=device).to(memory_format=LAYOUTS[layout])
    return lambda: torch.autograd.grad(module(x), x, y_gradient)


def measure(steps: Mapping[Case, Callable[[], object]], repeats: int, device: str) -> dict[Case, list[float]]:
    """Milliseconds of each step, which take turns so that a slow spell of the machine meets all of them."""
    times: dict[Case, list[float]] = {case: [] for case in steps}
    for repeat in range(repeats + 1):
        for case, run in steps.items():
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat > 0:  # the first round warms up
                times[case].append(1e3 * (time.perf_counter() - start))
    return times


def peak_memory(norm: str, layout: str, shape: list[int]) -> float | None:
    """Peak MiB of one step on the CPU in a process of its own, None where /proc does not tell."""
    if not Path("/proc/self/status").exists():
        return None
    command = [sys.executable, __file__, "--measure-memory", norm, layout, "--shape", *map(str, shape)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_of_one_step(norm: str, layout: str, shape: list[int]) -> float:
    def mebibytes(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    step(norm, layout, [1, *shape[1:]], "cpu")()  # loads the libraries
    run = step(norm, layout, shape, "cpu")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the preparation
    before = mebibytes("VmRSS")
    run()
    return mebibytes("VmHWM") - before


def gpu_peak_memory(run: Callable[[], object]) -> float:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def compare(shape: list[int], repeats: int, device: str) -> dict[str, Any]:
    """Print a table; return the ratios, the time and the memory of each case."""
    steps = {(norm, layout): step(norm, layout, shape, device) for norm in NORMS for layout in LAYOUTS}
    samples = measure(steps, repeats, device)
    times = {case: statistics.median(values) for case, values in samples.items()}
    memory: dict[Case, float | None]
    if device == "cuda":
        memory = {case: gpu_peak_memory(run) for case, run in steps.items()}
    else:
        memory = {case: peak_memory(*case, shape) for case in steps}
    print(f"{device}, {' x '.join(map(str, shape))}")
    for case, milliseconds in times.items():
        peak = "" if memory[case] is None else f"{memory[case]:9.1f} MiB"
        print(f"  {case[0]:5}{case[1]:14}{milliseconds:9.2f} ms{peak}")
    nn_case, our_case = (min((t for t in times if t[0] == norm), key=times.__getitem__) for norm in NORMS)
    nn_memory, our_memory = memory[nn_case], memory[our_case]
    return {
        "ratio": round(times[our_case] / times[nn_case], 4),
        "ratio_of_shortest": round(min(samples[our_case]) / min(samples[nn_case]), 4),
        "memory_ratio": nn_memory and our_memory and round(our_memory / nn_memory, 4),
        "milliseconds": {" ".join(case): round(value, 3) for case, value in times.items()},
        "mebibytes": {" ".join(case): value and round(value, 1) for case, value in memory.items()},
    }


def bandwidth_bound(shape: list[int], repeats: int) -> float:
    """Milliseconds to move five tensors, from the time of a copy, which moves two."""
    x, y = torch.empty(shape, device="cuda"), torch.empty(shape, device="cuda")
    copy: dict[Case, Callable[[], Tensor]] = {("copy", ""): lambda: y.copy_(x)}
    return 5 / 2 * statistics.median(measure(copy, repeats, "cuda")["copy", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--shape", type=int, nargs=4, default=[32, 96, 55, 55], metavar=("N", "C", "H", "W"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--measure-memory", nargs=2, metavar=("NORM", "LAYOUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.measure_memory:
        norm, layout = arguments.measure_memory
        print(memory_of_one_step(norm, layout, arguments.shape))
        return
    result = compare(arguments.shape, arguments.repeats, "cpu")
    if torch.cuda.is_available():
        on_gpu = compare(arguments.shape, 10 * arguments.repeats, "cuda")
        bound = bandwidth_bound(arguments.shape, 10 * arguments.repeats)
        fastest = min(value for case, value in on_gpu["milliseconds"].items() if case.startswith("ours"))
        result["cuda"] = on_gpu | {
            "bandwidth_bound_ms": round(bound, 4),
            "of_bandwidth_bound": round(fastest / bound, 2),
        }
    result |= {"shape": arguments.shape, "threads": arguments.threads, "torch": torch.__version__}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
