"""Files of bytes that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from alexnet_lab.errors import UserError


def check_writable(path: Path) -> None:
    """Raise UserError where a file cannot be made at `path`, before the work of making it begins."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: its folder may not be written; choose another or change its permissions")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write beside, sync to the disk, rename. Raises UserError: disk full, folder missing or not writable."""
    check_writable(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
