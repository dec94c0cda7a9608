"""Cores and GPUs of this machine; work on all cores, results in order, whatever the number of threads."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from alexnet_lab.core.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Job], Result], jobs: Iterable[Job], threads: int | None = None
) -> Iterator[Result]:
    """function(job) for each job, in order, by `threads` threads (None: one for each usable core).

    At most three results per thread are in memory. Threads suffice where the work is numpy's or Pillow's,
    which let go of Python's lock; they cost nothing to start. The first error ends it.
    """
    threads = threads or usable_cores()
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for job in jobs:
            pending.append(pool.submit(function, job))
            if len(pending) >= 3 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may run on: a job's share of a machine, not the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """GPUs by the name or number that CUDA_VISIBLE_DEVICES takes, asked of the driver's tool, not of torch."""
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is not None:
        return [name.strip() for name in limited.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise UserError("nvidia-smi has not answered for 60 s; name the GPUs with CUDA_VISIBLE_DEVICES") from None
    return answer.stdout.split() if answer.returncode == 0 else []
