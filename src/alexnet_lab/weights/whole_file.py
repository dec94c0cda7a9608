"""Files of weights, written whole or not at all, and refused in one line where they cannot be."""

from __future__ import annotations

import os
from pathlib import Path

from alexnet_lab.core import files
from alexnet_lab.core.errors import UserError


def check_writable(path: Path) -> None:
    """Raise UserError where a file cannot be made at `path`, before the work of making it begins."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: its folder may not be written; choose another or change its permissions")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all. Raises UserError: disk full, folder missing or not writable."""
    check_writable(path)
    try:
        files.write_bytes(path, content)
    except OSError as error:
        raise UserError(f"{path}: could not be written ({error.strerror or error})") from error
