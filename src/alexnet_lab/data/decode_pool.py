"""Decodes images on all cores, in processes that may crash or hang without harm.

A process that dies while it decodes a chunk is replaced, and the chunk is decoded again, now noting which image
is next; an image that ends a second process is rejected with the reason. So one killed by accident, as
by a machine out of memory, costs nobody an image.

`pebble` has such pools, but there a process that is killed before it has begun a job ends the whole pool (5.2.3,
tried), and the images come back through one pipe instead of shared memory.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import Pipe
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.parallel import usable_cores
from alexnet_lab.core.paths import SOURCE
from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.decode_job import Job
from alexnet_lab.data.shared_slots import SharedSlots

SECONDS_PER_IMAGE = 60.0
_FALSE_STARTS = 5  # of processes that die before they come to an image
_CHUNKS_AHEAD = 3  # for each process, that are decoded or wait in memory for an earlier one


class DecodePool:
    """A context manager; leaving it ends the processes at once. chunk_bytes: of the pixels of the largest chunk.

    Each process has a thread here that waits for its chunks: no process waits while a chunk is written to the disk.
    """

    def __init__(self, chunk_bytes: int, processes: int | None = None) -> None:
        self._slots = SharedSlots(chunk_bytes)
        self._wanted = processes or usable_cores()
        self._threads = ThreadPoolExecutor(self._wanted)
        self._idle: deque[_Process] = deque()
        self._living: set[_Process] = set()
        self._left = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        for process in tuple(self._living):
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in tuple(self._living):
            process.exit_code()
        self._slots.close()

    def chunks(self, count: int, make_job: Callable[[int], Job]) -> Iterator[Chunk]:
        """The chunks of jobs 0 to count - 1, in order. Raises UserError where no process can be started."""
        pending: deque[Future[Chunk]] = deque()
        for number in range(count):
            slot = self._slots.take()
            job = replace(make_job(number), slot=slot)
            pending.append(self._threads.submit(self._decode, job, self._slots.lent(slot)))
            if len(pending) == _CHUNKS_AHEAD * self._wanted:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _decode(self, job: Job, memory: NDArray[np.uint8]) -> Chunk:
        """The job's chunk, by as many processes as it takes. Runs in one of the threads. memory: the job's slot."""
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                process = self._start()
            try:
                chunk = process.decode(job)
            except (EOFError, OSError):
                code = process.exit_code()
                self._living.remove(process)
                if self._left:
                    raise
                _learn_from_death(job, code, process.reading)
            else:
                self._idle.append(process)
                return chunk if chunk.content else replace(chunk, content=memory.data[: int(chunk.sizes.sum())])

    def _start(self) -> _Process:
        try:
            process = _Process(self._slots)
        except OSError as error:
            raise UserError(f"no process can be started to decode images ({error.strerror or error})") from error
        self._living.add(process)
        if self._left:  # since a moment, so that nobody else ends it
            process.kill()
        return process


class _Process:
    """A running decode_worker."""

    def __init__(self, slots: SharedSlots) -> None:
        self._connection, theirs = Pipe()
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        settings = {"PYTHONPATH": os.pathsep.join(paths)}
        settings |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # there is a process for each core
        arguments = map(str, (theirs.fileno(), slots.descriptor, slots.size))
        with theirs:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "alexnet_lab.data.decode_worker", *arguments],
                pass_fds=[theirs.fileno(), slots.descriptor],
                stdin=subprocess.DEVNULL,
                env=os.environ | settings,
            )
        self.reading: int | None = None  # the image of the job that it is at, where it says so

    def decode(self, job: Job) -> Chunk:
        """Raises EOFError or OSError where the process has died."""
        self.reading = None
        self._connection.send(job)
        while not isinstance(answer := self._connection.recv(), Chunk):
            self.reading = answer
        return answer

    def kill(self) -> None:
        self._popen.kill()

    def exit_code(self) -> int:
        """Of a process that has ended or is about to; one that does not is killed."""
        try:
            return self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._popen.wait()
        finally:
            self._connection.close()


def _learn_from_death(job: Job, code: int, reading: int | None) -> None:
    """Enter into the job what is known of how its process died: its exit code, the image that it was at."""
    if code >= 0:  # an error of our own, whose traceback it has printed
        raise UserError(f"a process that decodes images ended with exit code {code}, near {job.names[0]}")
    how = signal.Signals(-code).name
    if job.careful and reading is not None:
        too_long = f"takes more than {job.seconds:g} s to decode"
        job.known_bad[reading] = too_long if -code == signal.SIGALRM else f"its decoder crashed ({how})"
    elif job.careful:
        job.false_starts += 1
        if job.false_starts == _FALSE_STARTS:
            raise UserError(
                f"decoding processes are ended by {how} as soon as they start; the system's log may say why"
            )
    job.careful = True
