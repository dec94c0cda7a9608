"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes | memoryview, *, durable: bool = True) -> None:
    """Write beside, sync to the disk, rename: a reader sees the old file or the new one, never a part.

    durable=False skips the sync, for files that are rewritten every second and that nobody needs after a crash.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a text in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a JSON document; raises ValueError for NaN or infinity, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", durable=durable)
