"""The checkpoints of a run folder: last.ckpt, previous.ckpt and best.ckpt, written while training goes on."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_bytes
from alexnet_lab.core.log_file import ON_SCREEN
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.checkpoints import BEST, FOLDER, FRESH, LAST, PREVIOUS

log = logging.getLogger(__name__)


class Checkpoints(CheckpointIO):
    """Writes and reads a run's checkpoints for Lightning.

    Each is written beside, synced and renamed, by a thread, while training goes on; the last but one is kept.
    What cannot be written is said in one line and tried again at the next save, the best one's weights included.
    """

    def __init__(self, run_folder: Path) -> None:
        self.folder = run_folder / FOLDER
        self.sync_first: Callable[[], None] = lambda: None  # what has to be on the disk before a checkpoint is
        self.spent = {"saves": 0, "failed": 0, "standstill_seconds": 0.0, "writing_seconds": 0.0}
        self.failure = ""  # why the last save failed
        self._is_best = False
        self._best_not_written: memoryview | None = None
        self._writer: threading.Thread | None = None
        self._found: dict[str, Any] = {}

    def mark_best(self) -> None:
        """The next one saved belongs to the best epoch so far."""
        self._is_best = True

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any = None, storage_options: Any | None = None) -> None:
        """Copy the checkpoint and leave its writing to a thread; waits for the one before."""
        started = time.monotonic()
        self.wait()
        content, step = checkpoint_file.to_bytes(checkpoint), checkpoint["global_step"]
        standstill = time.monotonic() - started
        self.spent["standstill_seconds"] += standstill
        arguments = (content, self._is_best, step, standstill)
        self._is_best = False
        self._writer = threading.Thread(target=self._write, args=arguments, name="checkpoint-writer")
        self._writer.start()

    def wait(self) -> None:
        """Return when the last checkpoint is on the disk, or is known not to be."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        found, self._found = self._found, {}  # as large as the network: not to be kept while the run goes on
        return found or checkpoint_file.read(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)

    def find(self) -> dict[str, Any] | None:
        """The newest whole checkpoint, or None where there is none; a damaged one is warned of and passed over."""
        damaged = []
        for name in (LAST, PREVIOUS, BEST):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                self._found = checkpoint_file.read(path)
            except UserError as error:
                log.warning("%s; trying the one before", error)
                damaged.append(name)
                continue
            log.info("continuing from %s", path, extra=ON_SCREEN)
            return self._found
        if damaged:
            log.warning(
                "%s: no checkpoint is whole (%s): starting from the beginning, which leads to the same result",
                self.folder,
                ", ".join(damaged),
            )
        return None

    def _write(self, content: memoryview, best: bool, step: int, standstill: float) -> None:
        started = time.monotonic()
        last, previous, fresh = (self.folder / name for name in (LAST, PREVIOUS, FRESH))
        if best:
            self._best_not_written = content
        try:
            self.folder.mkdir(exist_ok=True)
            self.sync_first()
            _write_file(fresh, content)
            # The best before the last, so that a run that is continued from the last has its best.
            if best:
                _link(fresh, self.folder / BEST)
            elif self._best_not_written is not None:
                _write_file(self.folder / BEST, self._best_not_written)
            self._best_not_written = None
            if last.exists():
                _link(last, previous)
            fresh.replace(last)
        except OSError as error:
            self.failure = error.strerror or str(error)
            self.spent["failed"] += 1
            log.warning("%s: no checkpoint after step %d (%s); the run goes on", self.folder, step, self.failure)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
        else:
            self.failure = ""
            self.spent["saves"] += 1
        seconds = time.monotonic() - started
        self.spent["writing_seconds"] += seconds
        if not self.failure:
            text = "checkpoint after step %d: %.0f MB, training stood still for %.2f s, written in %.2f s"
            log.info(text, step, len(content) / 1e6, standstill, seconds)


def _write_file(path: Path, content: memoryview) -> None:
    write_bytes(path, content, checkpoint_file.seal(content))


def _link(file: Path, name: Path) -> None:
    """Give a file a second name, in place of what had it; a copy where the file system has no links."""
    beside = name.with_name(f".{name.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        try:
            os.link(file, beside)
        except OSError:
            shutil.copyfile(file, beside)
        beside.replace(name)
    finally:
        beside.unlink(missing_ok=True)
