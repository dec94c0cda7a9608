"""One job at a time, on one machine or on several that share the disk.

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


def _acquire(file: Path, waiting: str) -> int:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # somebody has just removed the folder
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(waiting, file=sys.stderr, flush=True)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_open_file(descriptor, file):
                return descriptor
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                continue  # a network disk's word for a file that its last holder has removed
            raise
        os.close(descriptor)


def _is_open_file(descriptor: int, file: Path) -> bool:
    """Whether the file is still the one that is open: its last holder has removed that."""
    try:
        # Opening asks a network disk; its answer to stat may be an old one.
        now = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(now))
    finally:
        os.close(now)
