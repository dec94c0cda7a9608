"""Work on all cores, results in order: what comes out does not depend on how many threads there are."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
