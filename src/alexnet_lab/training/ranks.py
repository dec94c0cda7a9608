"""The processes of one run: what they agree on, and who is missing when they no longer can."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment

from alexnet_lab.command_line import EXIT_USER_ERROR, say
from alexnet_lab.training.log_file import to_log_file

log = logging.getLogger(__name__)

RANK_ZERO = "ALEXNET_LAB_RANK_ZERO"  # tells a rank the process that has started it
CONNECTION_WORDS = ("gloo", "nccl", "timed out", "connection", "socket", "process group")


def cluster_environment() -> ClusterEnvironment:
    """Who starts the ranks: torchrun, where it has started this process; otherwise the first process of a machine.

    Lightning would take the shell of a Slurm job for one of several ranks, and wait for the others.
    """
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()


class Ranks:
    """Small agreements among the ranks of a run, on the CPU, so that no GPU has to be waited for. One rank agrees
    with itself.

    folder: the run's. timeout: seconds that a rank waits for the others.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self.folder, self.timeout, self.rank, self.size = folder, timeout, 0, 1
        self.grace = max(5.0, min(30.0, timeout / 10))  # seconds between the first rank to notice and the last
        self.started: list[subprocess.Popen[bytes]] = []  # by the first rank of a machine: its others
        self.parent = os.getppid()
        self.follows = os.environ.get(RANK_ZERO) == str(self.parent)  # whether rank zero has started this process
        self._group: dist.ProcessGroup | None = None
        self._told: str | None = None  # who was missing

    def follow(self, started: list[subprocess.Popen[bytes]]) -> None:
        """Look after the ranks that this process has started: until they meet, it ends when one of them does."""
        self.started = started
        threading.Thread(target=self._watch_start, name="ranks", daemon=True).start()

    def meet(self) -> None:
        """To be called once by every rank, when Lightning has connected them."""
        if dist.is_available() and dist.is_initialized():
            self.rank, self.size = dist.get_rank(), dist.get_world_size()
            self._mark(self.rank).unlink(missing_ok=True)
            group = dist.new_group(backend="gloo", timeout=timedelta(seconds=self.timeout))
            assert isinstance(group, dist.ProcessGroup)  # every rank is in it
            self._group = group

    def any_of(self, *flags: bool) -> list[bool]:
        """Each flag: whether it is set on any rank."""
        return [value > 0 for value in self._reduce([int(flag) for flag in flags], dist.ReduceOp.MAX)]

    def least(self, number: int) -> int:
        """The least of the ranks' numbers."""
        return self._reduce([number], dist.ReduceOp.MIN)[0]

    def gather(self, value: object) -> list[object]:
        """Every rank's value, in their order."""
        if self._group is None:
            return [value]
        values: list[object] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def missing(self, error: BaseException) -> str | None:
        """Who did not come, in words, if this error is that of a rank that waited for others in vain; ends who hangs.

        Each rank that noticed leaves a mark in the run folder; who has left none after a grace has died or hangs.
        """
        if self.size == 1 or not any(word in str(error).lower() for word in CONNECTION_WORDS):
            return None
        if self._told is not None:
            return self._told
        log.debug("a collective failed", exc_info=error)
        with suppress(OSError):
            self._mark(self.rank).touch()
        deadline = time.monotonic() + self.grace
        while (alive := [rank for rank in self._unmarked() if self._lives(rank)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        in_time = "timed out" not in str(error).lower()
        fates = [f"rank {rank} {self._fate(rank, in_time)}" for rank in self._unmarked()]
        self._told = " and ".join(fates) or "the connection between the ranks broke"
        for rank in alive:
            if process := self._started_here(rank):
                process.kill()
            elif rank == 0 and self.follows:
                # What rank zero would say and do has to be done here; without it this process ends too.
                end_program(f"{self._told}; the same command continues from the last checkpoint", [self.parent])
        return self._told

    def end_started(self) -> None:
        """End the ranks that this process has started and that do not end by themselves within the grace."""
        deadline = time.monotonic() + self.grace
        for process in self.started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()  # does nothing to one that has ended

    def kill_started(self) -> None:
        """End the ranks that this process has started, at once: nothing of theirs is needed any more."""
        started, self.started = self.started, []  # whose end is no news then
        for process in started:
            process.kill()

    def _watch_start(self) -> None:
        # The main thread waits for the others within PyTorch, where neither exceptions nor signals reach it.
        while self._group is None:
            for rank, process in enumerate(self.started, 1):
                if process.poll():
                    others = [other.pid for other in self.started if other.poll() is None]
                    end_program(f"rank {rank} {self._fate(rank, in_time=True)}", others)
            time.sleep(0.5)

    def _mark(self, rank: int) -> Path:
        return self.folder / f".waiting-{rank}"

    def _unmarked(self) -> list[int]:
        return [rank for rank in range(self.size) if not self._mark(rank).exists()]

    def _started_here(self, rank: int) -> subprocess.Popen[bytes] | None:
        number = rank - self.rank - 1  # the first process of a machine has started the ranks that follow its own
        return self.started[number] if 0 <= number < len(self.started) else None

    def _lives(self, rank: int) -> bool:
        """As far as this process can know: rank zero knows of those that it started, they know of it."""
        if process := self._started_here(rank):
            return process.poll() is None
        return rank != 0 or os.getppid() == self.parent

    def _fate(self, rank: int, in_time: bool) -> str:
        process = self._started_here(rank)
        code = process.poll() if process else None
        if code is None:
            return "has ended" if in_time else f"did not come within {self.timeout:g} s (trainer.collective_timeout)"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        log_file = self.folder / f"train_ddp_process_{rank}.log"
        return f"has ended (exit code {code})" + (f": {log_file.name} says why" if log_file.exists() else "")

    def _reduce(self, numbers: list[int], operation: dist.ReduceOp.RedOpType) -> list[int]:
        if self._group is None:
            return numbers
        tensor = torch.tensor(numbers)
        dist.all_reduce(tensor, operation, group=self._group)
        return [int(number) for number in tensor]


def end_program(text: str, others: list[int]) -> NoReturn:
    """Say why, end other processes and then this one, whatever its threads are doing."""
    to_log_file(text)
    say(f"error: {text}")
    for process in others:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(EXIT_USER_ERROR)
