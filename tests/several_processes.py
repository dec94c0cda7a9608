"""Processes that compute together over gloo, forked from one of their own so that nothing is imported for each.

Not from the test's: what has computed gradients before, as other tests have, cannot be forked.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import cloudpickle
import torch
import torch.distributed as dist

from conftest import HANG


def together(number: int, function: Callable[[int], Any], folder: Path) -> list[Any]:
    """What the function gives in each of so many connected processes, in the order of their ranks, given the rank."""
    folder.mkdir()
    (folder / "path.json").write_text(json.dumps(sys.path))
    (folder / "function").write_bytes(cloudpickle.dumps(function))
    program = "import json, sys; sys.path[:] = json.load(open(sys.argv[2])); import several_processes as s; s.fork()"
    command = [sys.executable, "-c", program, str(number), str(folder / "path.json")]
    ended = subprocess.run(command, timeout=HANG, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(number)]


def fork() -> None:
    number, folder = int(sys.argv[1]), Path(sys.argv[2]).parent
    function = cloudpickle.loads((folder / "function").read_bytes())
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_member, args=(rank, number, function, folder)) for rank in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


def _member(rank: int, number: int, function: Callable[[int], Any], folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    limit = timedelta(seconds=HANG)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=number, timeout=limit)
    torch.save(function(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()
