"""From a source of pictures to its packed store: built once, whole or not at all, however many jobs ask."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from alexnet_lab.data.store import SPLITS, Rejected, Store, open_store, store_key
from alexnet_lab.data.store_writer import StoreWriter, partial_name
from alexnet_lab.errors import UserError

_SECONDS_BETWEEN_LINES = 5.0
_SPARE_BYTES = 64 * 2**20  # for everything that is not pictures


class Source(Protocol):
    """Anything that yields labelled square pictures.

    A source that can meet unreadable pictures also has `rejected`, a sequence of store.Rejected that is
    complete once both splits' chunks have been taken; `count` then is the most that can come.
    """

    name: str
    image_size: int  # side of the pictures in pixels

    @property
    def class_names(self) -> Sequence[str]:
        """Names by class number."""
        ...

    def settings(self) -> dict[str, Any]:
        """What the pictures depend on, as JSON types: sources with other settings have other stores."""
        ...

    def count(self, split: str) -> int:
        """Pictures of "train" or "val"."""
        ...

    def chunks(self, split: str) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64]]]:
        """(position of the first picture, pictures uint8 [n, H, W, 3], labels int64 [n]), in any order."""
        ...


def prepare_store(directory: Path, source: Source) -> Store:
    """The store of a source in the folder of stores `directory`, built first where it is not there.

    Its folder is directory / store_key(source.name, source.settings()). Of several jobs that ask at once,
    on one machine or on several that share the folder, one builds and the others wait.
    Raises UserError (one line): disk too full, folder not writable, store damaged, or what the source raises.
    """
    path = Path(directory) / store_key(source.name, source.settings())
    if path.exists():
        return open_store(path)
    lock = _acquire_lock(path)
    try:
        if path.exists():
            return open_store(path)
        for left_behind in path.parent.glob(partial_name(path) + "*"):  # by a job that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        _check_disk(path.parent, source)
        try:
            return _build(path, source)
        except OSError as error:
            raise UserError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        lock.release()


def _acquire_lock(path: Path) -> BaseFileLock:
    """Hold the lock beside a store's place, after waiting for whoever holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Waiting: another job is preparing {path}", file=sys.stderr, flush=True)
            lock.acquire()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path.parent}: cannot be written ({reason}); choose another folder") from error
    return lock


def _build(path: Path, source: Source) -> Store:
    """Write every chunk, and finish."""
    counts = {split: source.count(split) for split in SPLITS}
    with (
        StoreWriter(path, source.name, source.settings(), source.class_names, source.image_size, counts) as writer,
        _Progress(path.name, sum(counts.values())) as progress,
    ):
        for split in SPLITS:
            written = 0
            for start, images, labels in source.chunks(split):
                writer.write(split, start, images, labels)
                written += len(images)
                progress.advance(len(images))
            if written < counts[split]:
                writer.shorten(split, written)
        progress.say("checksums")
        rejected: Sequence[Rejected] = getattr(source, "rejected", ())
        return writer.finish(rejected)


def _check_disk(folder: Path, source: Source) -> None:
    """Raises UserError when the store would not fit."""
    pictures = sum(source.count(split) for split in SPLITS)
    needed = pictures * (source.image_size**2 * 3 + 8) + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; free some space")


class _Progress:
    """A bar with images/s and time left on a terminal, a line every few seconds elsewhere; on stderr."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began = self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("Preparing {task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[state]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task(name, total=total, state="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()
        elif error[0] is None:
            self.say("done")

    def advance(self, count: int) -> None:
        """So many more pictures are written."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, completed=self._done)
            self.say(f"{self._rate():,.0f} images/s")
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            left = (self._total - self._done) / self._rate()
            self.say(f"{100 * self._done / self._total:.0f} %, {self._rate():,.0f} images/s, {left:.0f} s left")

    def say(self, state: str) -> None:
        """What is being done, at once."""
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.update(self._task, state=state)
        else:
            print(f"Preparing {self._name}: {state}", file=sys.stderr, flush=True)

    def _rate(self) -> float:
        return self._done / max(1e-9, time.monotonic() - self._began)
