"""Who may run a folder: one at a time, on one machine or on several that share a disk.

The lock is flock(2) on <run folder>/.lock. It belongs to the open file, not to a process: whoever inherits
the open file keeps the folder locked, and the system lets go of it when the last of them has died, however
they died. The file itself stays; what it says of its holder is for people alone.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import time
from contextlib import suppress
from pathlib import Path

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import make_folder
from alexnet_lab.core.locks import is_open_file, open_lock_file, try_lock

LOCK_FILE = ".lock"
HANDED_DOWN = "ALEXNET_LAB_RUN_LOCK"  # the number of the open file that a job inherits
PROBE_SECONDS = 0.5  # `holder` holds the lock for an instant to see whether it is free
LONGEST_DESCRIPTION = 1000
_RANKS = ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK")

_held_for_life: list[RunLock] = []


class RunLock:
    """The right to run a folder, until `release` or the end of every process that has the open file."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def describe(self) -> None:
        """Write down that this process is the holder."""
        text = json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()
        with suppress(OSError):  # on a full disk the lock holds as well without
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, text, 0)

    def release(self) -> None:
        """Close the open file; the folder is free unless a job has inherited it."""
        os.close(self.descriptor)


def take(folder: Path, patience: float = 0.0) -> RunLock | None:
    """Lock a run folder that exists; None where somebody else holds it, `patience` seconds later too.

    Raises UserError where the folder cannot be written or its file system has no locks.
    """
    deadline = time.monotonic() + patience
    while True:
        descriptor = _open(folder / LOCK_FILE)
        try:
            if _try_lock(folder, descriptor, fcntl.LOCK_EX) and is_open_file(descriptor, folder / LOCK_FILE):
                lock = RunLock(descriptor)
                lock.describe()
                return lock
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)


def hold_for_life(folder: Path) -> None:
    """Keep a run folder, made where it is not there, until this process ends.

    Takes over the lock that the scheduler handed down, where it did. Ranks other than zero write nothing and
    need none. Raises UserError where another process runs the folder.
    """
    inherited = inherited_lock(folder)
    os.environ.pop(HANDED_DOWN, None)
    if not is_rank_zero():
        return
    make_folder(folder)
    if inherited is not None:
        lock = inherited
        os.set_inheritable(lock.descriptor, False)
        lock.describe()
    else:
        taken = take(folder, patience=PROBE_SECONDS)
        if taken is None:
            raise UserError(f"{folder}: is being run by {holder(folder) or 'another process'}; wait until it has ended")
        lock = taken
    _held_for_life.append(lock)


def inherited_lock(folder: Path) -> RunLock | None:
    """The lock that the scheduler of a sweep has handed down with this run folder; None where it has not."""
    number = os.environ.get(HANDED_DOWN, "")
    return RunLock(int(number)) if number.isdigit() and is_open_file(int(number), folder / LOCK_FILE) else None


def is_rank_zero() -> bool:
    """Whether this process is the first of a run, as far as the environment tells, before the ranks have met."""
    return all(os.environ.get(rank, "0") == "0" for rank in _RANKS)


def holder(folder: Path) -> str | None:
    """Who holds a run folder, in words; None where nobody does. Changes nothing."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or _try_lock(folder, descriptor, fcntl.LOCK_SH):
            return None
        content = json.loads(os.read(descriptor, LONGEST_DESCRIPTION))
        host, process = str(content["host"]), int(content["process"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
    finally:
        os.close(descriptor)
    here = host == socket.gethostname()
    return f"process {process}" + ("" if here else f" on {''.join(c for c in host if c.isprintable())[:60]}")


def _open(path: Path) -> int:
    try:
        descriptor = open_lock_file(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(f"{path}: is a symbolic link, which is not followed; remove it") from None
        raise UserError(f"{path.parent}: cannot be written ({error.strerror}); change its permissions") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: is not a file; remove it")
    return descriptor


def _try_lock(folder: Path, descriptor: int, kind: int) -> bool:
    try:
        return try_lock(descriptor, kind)
    except OSError as error:
        raise UserError(
            f"{folder}: its file system cannot lock files ({error.strerror}); docs/reliability.md says what it takes"
        ) from None
