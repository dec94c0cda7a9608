"""Decodes pictures on all cores, in processes that may crash or hang without harm.

A process that dies while it decodes a block is replaced, and the block is decoded again, now noting which picture
is next; a picture that ends a second process is rejected with the reason. So one killed by accident, as
by a machine out of memory, costs nobody a picture.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Self

from alexnet_lab.data.block import Block
from alexnet_lab.data.block_channel import BlockChannel
from alexnet_lab.data.decode_job import Job
from alexnet_lab.data.parallel import usable_cores
from alexnet_lab.errors import UserError

SECONDS_A_PICTURE = 60.0
_BLOCKS_AHEAD = 3  # for each process, that wait in memory for an earlier one


class DecodePool:
    """A context manager; leaving it ends the processes at once."""

    def __init__(self, processes: int | None = None) -> None:
        self._wanted = processes or usable_cores()
        self._processes: list[_Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.end()

    def blocks(self, count: int, make_job: Callable[[int], Job]) -> Iterator[Block]:
        """The blocks of jobs 0 to count - 1, in order. Raises UserError where no process can be started."""
        jobs: dict[int, Job] = {}  # begun and not yet taken
        again: list[int] = []  # whose process has died
        done: dict[int, Block] = {}
        following = 0
        for turn in range(count):
            while turn not in done:
                while again or following < min(count, turn + _BLOCKS_AHEAD * self._wanted):
                    process = self._idle()
                    if process is None:
                        break
                    if again:
                        number = again.pop()
                    else:
                        number, following = following, following + 1
                        jobs[number] = make_job(number)
                    process.start(number, jobs[number])
                busy = {process.channel.fileno(): process for process in self._processes if process.job is not None}
                for ready in wait(list(busy)):
                    process = busy[ready]  # type: ignore[index]
                    try:
                        answer = process.channel.receive()
                    except (EOFError, OSError):
                        self._processes.remove(process)
                        _learn_from_death(jobs[process.number], process)
                        again.append(process.number)
                        continue
                    if isinstance(answer, int):
                        process.reading = answer
                    else:
                        done[process.number], process.job = answer, None
            del jobs[turn]
            yield done.pop(turn)

    def _idle(self) -> _Process | None:
        """A process without work, started where there are too few; None where all are busy."""
        for process in self._processes:
            if process.job is None:
                return process
        if len(self._processes) == self._wanted:
            return None
        self._processes.append(_Process())
        return self._processes[-1]


class _Process:
    """A running decode_worker and what it is at."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.channel = BlockChannel(ours)
        package = str(Path(__file__).parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {"PYTHONPATH": os.pathsep.join(paths)}
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # there is a process for each core
        # Keep the memory of one picture for the next one: asking the system anew takes time.
        settings |= dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), "1000000000")
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "alexnet_lab.data.decode_worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | settings,
            )
        self.job: Job | None = None
        self.number = -1
        self.reading: int | None = None  # the picture of the job, where it says so

    def start(self, number: int, job: Job) -> None:
        self.number, self.job, self.reading = number, job, None
        try:
            self.channel.send(job)
        except OSError:
            return  # it is dead, which shows when its answer is waited for

    def end(self) -> int:
        """Kill it if it lives; its exit code."""
        self._popen.kill()
        self.channel.close()
        return self._popen.wait()

    def exit_code(self) -> int:
        try:
            return self._popen.wait(timeout=5)
        finally:
            self.end()


def _learn_from_death(job: Job, process: _Process) -> None:
    """Enter into the job what is known of how its process died."""
    code = process.exit_code()
    if code >= 0:  # an error of our own, whose traceback it has printed
        raise UserError(f"a process that decodes pictures ended with exit code {code}, near {job.names[0]}")
    if job.careful and process.reading is not None:
        how = f"its decoder crashed ({signal.Signals(-code).name})"
        if -code == signal.SIGALRM:
            how = f"takes more than {job.seconds:g} s to decode"
        job.known_bad[process.reading] = how
    job.careful = True
