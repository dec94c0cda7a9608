"""Files that appear whole or not at all, and files of unknown origin that are read with care."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from alexnet_lab.core.errors import UserError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # of an OSError
UNFINISHED = re.compile(r"\..+\.\d+")  # what write_bytes writes beside


def write_bytes(path: Path, *parts: bytes | memoryview, durable: bool = True) -> None:
    """Write beside, sync to the disk, rename: a reader sees the old file or the new one, never a part.

    durable=False skips the sync, for files that are rewritten every second and that nobody needs after a crash.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            for part in parts:
                file.write(part)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def has_room(folder: Path, size: int) -> bool:
    """Whether a file of so many bytes can be written here now: neither the disk nor a quota is used up."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return shutil.disk_usage(folder).free >= size
    beside = folder / f".room.{os.getpid()}"
    try:
        with beside.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        return error.errno not in NO_ROOM
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return True


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a JSON document; raises ValueError for NaN or infinity, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", durable=durable)


def remove_unfinished(*folders: Path) -> None:
    """Remove what write_bytes had begun when it was killed; nobody else may be writing there."""
    for folder in folders:
        for path in folder.glob(".*"):
            if UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there. Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None


def check_folder_writable(folder: Path) -> None:
    """Raise UserError where this folder cannot be written, or made; changes nothing."""
    there = nearest_existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there}: may not be written; start from another folder or change its permissions")


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there. Raises UserError for what no path can be."""
    try:
        absolute = path.expanduser().absolute()
        return next(one for one in (absolute, *absolute.parents) if one.exists() or one.is_symlink())
    except (OSError, RuntimeError, ValueError) as error:  # a name that is too long, a loop of links
        raise UserError(f"{str(path)[:80]}: cannot be a file or folder ({error.__class__.__name__})") from None


def open_regular(path: Path) -> BinaryIO:
    """A file that anybody may have put there, opened for reading.

    Raises UserError for a symbolic link (it could lead anywhere), for what is no regular file (a pipe would wait
    for ever) and for what cannot be opened; FileNotFoundError and NotADirectoryError where there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        link = "is a symbolic link, which is not followed"
        raise UserError(f"{path}: {link if path.is_symlink() else f'cannot be read ({error.strerror})'}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: is not a file")
    return os.fdopen(descriptor, "rb")


def check_no_links(path: Path) -> None:
    """Raise UserError where a file or folder that this program writes, or anything in it, is a symbolic link.

    W&B has links of its own within its folder.
    """
    if path.is_symlink():
        raise UserError(f"{path}: is a symbolic link, through which nothing is written; remove it")
    if path.name != "wandb" and path.is_dir():
        for entry in sorted(path.iterdir()):
            check_no_links(entry)


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a file that anybody may have put there.

    Raises what open_regular raises, and UserError for more than `largest` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise UserError(f"{path}: has {size} bytes, where {largest} are the most that can be meant")
        try:
            return file.read(largest)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path, largest: int = 2**22) -> Any:
    """A JSON document that anybody may have put there; numbers are finite, and no key is there twice.

    Raises what read_bytes raises, and ValueError where it is no JSON or nested too deeply.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"it has {next(key for key in keys if keys.count(key) > 1)!r:.40} twice")
        return found

    def finite(word: str) -> float:
        if not math.isfinite(number := float(word)):
            raise ValueError(f"{word:.20} is no finite number")
        return number

    text = read_bytes(path, largest).decode("utf-8")
    try:
        return json.loads(text, parse_constant=finite, parse_float=finite, object_pairs_hook=once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
