"""The processes of one run: what they agree on, and who is missing when they no longer can."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment

from alexnet_lab.core.errors import EXIT_USER_ERROR, PREEMPTED_EXIT_CODE
from alexnet_lab.core.log_file import to_log_file
from alexnet_lab.core.signals import ASKS_TO_END
from alexnet_lab.core.streams import say

log = logging.getLogger(__name__)

RANK_ZERO = "ALEXNET_LAB_RANK_ZERO"  # tells a rank the process that has started it
WAITING, HERE = ".waiting-", ".here-"  # of the files by which ranks say that others are awaited, and that they came
LEAVE_SECONDS = 2.0  # for the main thread to end by itself when it is asked to
CONNECTION_WORDS = ("gloo", "nccl", "timed out", "connection", "socket", "process group")


def cluster_environment() -> ClusterEnvironment:
    """Who starts the ranks: torchrun, where it has started this process; otherwise the first process of a machine.

    Lightning would take the shell of a Slurm job for one of several ranks, and wait for the others.
    """
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()


class Ranks:
    """Small agreements among the ranks of a run, on the CPU, so that no GPU has to be waited for. One rank agrees
    with itself.

    folder: the run's, None where there is none. timeout: seconds that a rank waits for the others.
    """

    def __init__(self, folder: Path | None, timeout: float) -> None:
        self.folder, self.timeout, self.rank, self.size = folder, timeout, 0, 1
        self.grace = max(5.0, min(30.0, timeout / 10))  # seconds between the first rank to notice and the last
        self.started: list[subprocess.Popen[bytes]] = []  # by the first rank of a machine: its others
        self.parent = os.getppid()
        self.follows = os.environ.get(RANK_ZERO) == str(self.parent)  # whether rank zero has started this process
        self._group: dist.ProcessGroup | None = None
        self._missing: str | None = None  # who was missing
        self._leaving = threading.Event()  # the main thread ends the run, for whatever reason
        self._ending = threading.Lock()  # taken by the first thread that ends the program

    def follow(self, started: list[subprocess.Popen[bytes]]) -> None:
        """Look after the ranks that this process has started: until they meet, it ends when one of them does, and later
        where the main thread has not noticed within half of the grace.
        """
        self.started = started
        threading.Thread(target=self._watch_started, name="ranks", daemon=True).start()

    def meet(self) -> None:
        """To be called once by every rank, when Lightning has connected them."""
        if dist.is_available() and dist.is_initialized():
            self._unmark(dist.get_rank(), WAITING)
            with self.meeting(dist.get_rank(), dist.get_world_size()):
                group = dist.new_group(backend="gloo", timeout=timedelta(seconds=self.timeout))
            assert isinstance(group, dist.ProcessGroup)  # every rank is in it
            self._group = group

    def expect(self, ranks: Iterable[int]) -> None:
        """Before they are started: what an earlier session left of these ranks does not count."""
        for rank in ranks:
            self._unmark(rank, HERE)

    @contextmanager
    def meeting(self, rank: int, size: int) -> Iterator[None]:
        """While the ranks connect. The main thread then waits within PyTorch, where neither exceptions nor signals
        reach it, so another one looks whether it is asked to end, and who has not come when the time is over.
        """
        self.rank, self.size = rank, size
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        over = threading.Event()
        watch = threading.Thread(target=self._watch_meeting, args=(reader, over), name="meeting", daemon=True)
        watch.start()
        self._mark(rank, HERE)
        try:
            yield
        except RuntimeError as error:
            self._give_up(error)
        finally:
            over.set()
            signal.set_wakeup_fd(before)
            watch.join()
            os.close(reader)
            os.close(writer)
            self._unmark(rank, HERE)

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
        if self._missing is not None:
            return self._missing
        log.debug("a collective failed", exc_info=error)
        self.leave()
        self._mark(self.rank, WAITING)
        deadline = time.monotonic() + self.grace
        while (alive := [rank for rank in self._unmarked() if self._lives(rank)]) and time.monotonic() < deadline:
            time.sleep(0.1)
        in_time = "timed out" not in str(error).lower()
        unmarked = self._unmarked()
        dead = [rank for rank in unmarked if not self._lives(rank)]  # for whom the others may be waiting
        fates = [f"rank {rank} {self._fate(rank, in_time)}" for rank in dead or unmarked]
        self._missing = " and ".join(fates) or "the connection between the ranks broke"
        for rank in alive:
            if process := self._started_here(rank):
                process.kill()
            elif rank == 0 and self.follows:
                # What rank zero would say and do has to be done here; without it this process ends too.
                end_program(f"{self._missing}; the same command continues from the last checkpoint", [self.parent])
        return self._missing

    def end_started(self) -> None:
        """End the ranks that this process has started and that do not end by themselves within the grace."""
        self.leave()
        if self._group is None:  # they have not met, and nothing is to be saved
            self.kill_started()
        deadline = time.monotonic() + self.grace
        for process in self.started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()  # does nothing to one that has ended

    def kill_started(self) -> None:
        """End the ranks that this process has started, at once: nothing of theirs is needed any more."""
        started, self.started = self.started, []  # whose end is expected then
        for process in started:
            process.kill()

    def leave(self) -> None:
        """The run ends, in this process: what becomes of the other ranks need not be watched any more."""
        self._leaving.set()

    def _watch_started(self) -> None:
        # The main thread waits for the others within PyTorch, where neither exceptions nor signals reach it.
        while self._group is None:
            for rank, process in enumerate(self.started, self.rank + 1):
                if code := process.poll():
                    if code == PREEMPTED_EXIT_CODE:
                        self._leave(f"ended by a signal to rank {rank}")
                    self._end(f"rank {rank} {self._fate(rank, in_time=True)}")
            time.sleep(0.5)
        # Of more than two ranks, the main thread may wait for one that itself waits for one that has ended: it never
        # hears of that, and those who have heard would take it for the one that hangs.
        while not self._leaving.wait(0.5):
            ended = [rank for rank, process in enumerate(self.started, self.rank + 1) if process.poll()]
            if ended and not self._leaving.wait(self.grace / 2):
                fates = " and ".join(f"rank {rank} {self._fate(rank, in_time=True)}" for rank in ended)
                self._end(f"{fates}; the same command continues from the last checkpoint")

    def _watch_meeting(self, signals: int, over: threading.Event) -> None:
        deadline = time.monotonic() + self.timeout
        while not over.is_set():
            if select.select([signals], [], [], 0.2)[0]:
                requests = [number for number in os.read(signals, 64) if number in ASKS_TO_END]
                # Where it is not within PyTorch, the main thread ends by itself.
                if requests and not over.wait(LEAVE_SECONDS):
                    self._leave(f"ended by {signal.Signals(requests[0]).name}")
            if time.monotonic() > deadline:
                self._give_up(None)

    def _give_up(self, error: RuntimeError | None) -> NoReturn:
        """The ranks could not connect: in time, where there is no error or it says so."""
        if error is not None and "timed out" not in str(error).lower():
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            self._end(f"the ranks cannot meet at {where} ({str(error).splitlines()[0]:.200})")
        limit = f"within {self.timeout:g} s (trainer.collective_timeout)"
        absent = [rank for rank in range(self.size) if not self._is_here(rank)]
        if fates := [f"rank {rank} did not come {limit}" for rank in absent]:
            self._end(" and ".join(fates))
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        self._end(f"the ranks did not meet at {where} {limit}; can each of them reach it?")

    def _is_here(self, rank: int) -> bool:
        """Whether a rank has come to the meeting, and has not been stopped since, as far as this process can know."""
        process = self._started_here(rank)
        pid = process.pid if process else self.parent if rank == 0 and self.follows else None
        return self._marked(rank, HERE) and not (pid and _is_stopped(pid))

    def _leave(self, why: str) -> NoReturn:
        self._end(f"{why} before the ranks had met; the same command starts it again", PREEMPTED_EXIT_CODE)

    def _end(self, text: str, exit_code: int = EXIT_USER_ERROR) -> NoReturn:
        """End every rank of this machine, saying why. Before they have met there is nothing else to be done."""
        self._ending.acquire()  # for good: of two threads that come here one speaks
        if exit_code == PREEMPTED_EXIT_CODE and self.rank > 0:
            os._exit(exit_code)  # rank zero, where it has started this process, says it
        others = [process.pid for process in self.started if process.poll() is None]
        if self.follows and not self._is_here(0):
            others.append(self.parent)
        self.expect(range(self.size))
        end_program(text, others, exit_code)

    def _mark(self, rank: int, kind: str) -> None:
        if self.folder is not None:
            with suppress(OSError):  # on a full disk some rank is not named that should be
                (self.folder / f"{kind}{rank}").touch()

    def _unmark(self, rank: int, kind: str) -> None:
        if self.folder is not None:
            (self.folder / f"{kind}{rank}").unlink(missing_ok=True)

    def _marked(self, rank: int, kind: str) -> bool:
        """Without a folder every rank counts as marked."""
        return self.folder is None or (self.folder / f"{kind}{rank}").exists()

    def _unmarked(self) -> list[int]:
        return [rank for rank in range(self.size) if not self._marked(rank, WAITING)]

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
        log_file = f"train_ddp_process_{rank}.log"
        says_why = self.folder is not None and (self.folder / log_file).exists()
        return f"has ended (exit code {code})" + (f": {log_file} says why" if says_why else "")

    def _reduce(self, numbers: list[int], operation: dist.ReduceOp.RedOpType) -> list[int]:
        if self._group is None:
            return numbers
        tensor = torch.tensor(numbers)
        dist.all_reduce(tensor, operation, group=self._group)
        return [int(number) for number in tensor]


def _is_stopped(process: int) -> bool:
    """Whether a process has been stopped (SIGSTOP), where the system tells (Linux)."""
    try:
        after_its_name = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return False
    return after_its_name.split()[0] in (b"T", b"t")


def end_program(text: str, others: list[int], exit_code: int = EXIT_USER_ERROR) -> NoReturn:
    """Say why, end other processes and then this one, whatever its threads are doing."""
    to_log_file(text)
    say(f"error: {text}" if exit_code == EXIT_USER_ERROR else text)
    for process in others:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    os._exit(exit_code)
