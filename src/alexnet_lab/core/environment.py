"""What a run ran on: hardware, versions, the commit of the code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from alexnet_lab.core import paths
from alexnet_lab.core.parallel import usable_cores

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf", "numpy", "wandb")


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, threads it does use, memory in GiB, GPUs by name."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": _memory_gib(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def versions() -> dict[str, str]:
    """Python and the libraries that decide a run's numbers; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def part(devices: int) -> dict[str, Any]:
    """What the bits of a run depend on besides its configuration and images, of this part of it, which this process
    computes: commit, threads of each device, devices, processor, GPUs, versions.
    """
    here = hardware()
    return {
        "commit": commit(),
        "threads": here["threads"],
        "devices": devices,
        "processor": here["processor"],
        "gpus": here["gpus"],
        "versions": versions(),
    }


UNKNOWN_PART = {"commit": "unknown", "threads": 0, "devices": 0, "processor": "unknown", "gpus": [], "versions": {}}


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two parts, each as "threads 1, not 2"."""
    flat = [{**facts, **facts["versions"]} for facts in (before, now)]
    keys = [key for key in {**flat[0], **flat[1]} if key not in ("versions", "from_step")]
    pairs = [(key, flat[0].get(key), flat[1].get(key)) for key in keys]
    return [f"{key} {new!s:.60}, not {old!s:.60}" for key, old, new in pairs if old != new]


def commit() -> str:
    """The commit of the code, with "+changes" where files that git tracks differ from it; or "unknown", as it is of
    an installed package, which may lie within a repository of something else.
    """
    if paths.INSTALLED:
        return "unknown"

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        answer = subprocess.run(command, cwd=paths.SOURCE, capture_output=True, text=True, timeout=10, check=True)
        return answer.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None
