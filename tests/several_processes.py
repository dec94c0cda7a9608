"""Processes that compute together over gloo, forked from the test's so that nothing is imported again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from conftest import HANG


def together(number: int, function: Callable[[int], Any], folder: Path) -> list[Any]:
    """What the function gives in each of so many connected processes, in the order of their ranks, given the rank."""
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_member, args=(rank, number, function, folder)) for rank in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * number
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(number)]


def _member(rank: int, number: int, function: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    limit = timedelta(seconds=HANG)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=number, timeout=limit)
    torch.save(function(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()
