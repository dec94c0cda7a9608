"""progress.json: where a run stands, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json, write_json

PROGRESS_FILE = "progress.json"
TEXTS = ("state", "ending")
NUMBERS = ("epoch", "epochs", "val_top1_error", "images_per_second", "seconds_left", "attempts")


def show_progress(folder: Path, progress: Mapping[str, Any]) -> None:
    """Say where a run stands: its state, and what else is known. On a full disk it goes on unseen."""
    with suppress(OSError):
        write_json(folder / PROGRESS_FILE, dict(progress), durable=False)


def read_progress(folder: Path) -> dict[str, Any]:
    """What a run last said of itself: texts and finite numbers that are no less than 0, and nothing else."""
    try:
        content = read_json(folder / PROGRESS_FILE, largest=2**16)
    except (OSError, ValueError, UserError):
        return {}
    if not isinstance(content, dict):
        return {}
    kept: dict[str, Any] = {}
    for key in TEXTS:
        if isinstance(text := content.get(key), str):
            kept[key] = "".join(c for c in text if c.isprintable())[:80]
    for key in NUMBERS:
        number = content.get(key)
        if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number < 1e12:
            kept[key] = number
    return kept
