"""flock(2): one job at a time, on one machine or on several that share the disk.

`filelock` leaves the file where it was, which here is a folder of somebody's own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(file: Path, waiting: str) -> Iterator[None]:
    """Hold flock(2) on a file that is there only meanwhile, as are folders that are made for it and stay empty.

    The system lets go of it when its holder dies. `waiting` is printed where another job holds it. Raises OSError.
    """
    made = [folder for folder in file.parents if not folder.exists()]
    descriptor = _acquire(file, waiting)
    try:
        yield
    finally:
        with suppress(OSError):  # it may stay where the folder cannot be written any more
            file.unlink()  # still locked: whoever waits for this file looks for the next one
        os.close(descriptor)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def open_lock_file(file: Path) -> int:
    """Its descriptor, made where it is not there. Raises OSError, for a symbolic link too."""
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)


def try_lock(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Lock an open file without waiting; whether that was free. Raises OSError where a file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _acquire(file: Path, waiting: str) -> int:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = open_lock_file(file)
        except FileNotFoundError:
            continue  # somebody has just removed the folder
        try:
            if not try_lock(descriptor):
                print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_open_file(descriptor, file):
                return descriptor
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                continue  # a network disk's word for a file that its last holder has removed
            raise
        os.close(descriptor)


def is_open_file(descriptor: int, file: Path) -> bool:
    """Whether the file is still the one that is open: somebody may have removed that meanwhile."""
    try:
        # Opening asks a network disk; its answer to stat may be an old one.
        now = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(now))
    except OSError:  # no file is open under this number
        return False
    finally:
        os.close(now)
