"""The checkpoints in a run folder, by name. checkpoint_file says what is in one; this loads no torch."""

from __future__ import annotations

from pathlib import Path

FOLDER = "checkpoints"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
FRESH = "last.ckpt.new"


def has_checkpoint(folder: Path) -> bool:
    """Whether a run left something in its folder that it can be continued from."""
    return any((folder / FOLDER).glob("*.ckpt"))


def room_for_checkpoints(folder: Path) -> int:
    """Bytes that an interrupted run asks for when it starts again: the most checkpoints that it ever has."""
    return 4 * max((file.stat().st_size for file in (folder / FOLDER).glob("*.ckpt")), default=0) + 2**16
