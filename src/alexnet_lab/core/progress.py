"""How far long work on data is: a bar on a terminal, a line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

_SECONDS_BETWEEN_LINES = 5.0


class _WorkProgress(ABC):
    """So many of `total` units are done; total is 0 where nobody knows it. A context manager."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._done, self._before = name, total, done, done
        self._began = self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.fields[state]}")
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
            self._task = self._bar.add_task(name, total=total or None, completed=done, state="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """So many more are done."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, completed=self._done, state=self._state())
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self.say(self._state())

    def say(self, text: str) -> None:
        """A line of its own, at once."""
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.console.print(f"{self._name}: {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            print(f"{self._name}: {text}", file=sys.stderr, flush=True)

    @abstractmethod
    def _state(self) -> str:
        """How much is done, how fast, and how long the rest will take."""

    def _rate(self) -> float:
        """Units per second."""
        return (self._done - self._before) / max(1e-9, time.monotonic() - self._began)

    def _share(self) -> str:
        return f"{100 * self._done // self._total} %"

    def _left(self) -> str:
        rate = self._rate()
        return f"{duration((self._total - self._done) / rate)} left" if rate else "time left unknown"


class ImageProgress(_WorkProgress):
    """Of images: images/s and time left."""

    def _state(self) -> str:
        return f"{self._share()}, {self._rate():,.0f} images/s, {self._left()}"


class PreparationProgress(ImageProgress):
    """Of the preparation: the number of unreadable images too."""

    def __init__(self, total: int) -> None:
        super().__init__("Preparing", total)
        self._bad = 0

    def start_at(self, done: int) -> None:
        """So many images were prepared before."""
        self._done = self._before = done
        self.say(f"going on after {done:,} images")

    def count_unreadable(self, count: int) -> None:
        """So many more images are not in the store."""
        self._bad += count

    def _state(self) -> str:
        return super()._state() + (f", {self._bad:,} unreadable" if self._bad else "")


class ByteProgress(_WorkProgress):
    """Of files that are read or fetched: GB, MB/s and time left."""

    def _state(self) -> str:
        rate = f"{self._rate() / 1e6:,.0f} MB/s"
        if not self._total:
            return f"{self._done / 1e6:,.0f} MB, {rate}"
        return f"{self._share()} of {self._total / 1e9:.3g} GB, {rate}, {self._left()}"


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them: 42 s, 3 min 05 s, 2 h 10 min, 5 d 3 h."""
    if seconds is None:
        return ""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
