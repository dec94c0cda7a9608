"""How far long work on data is: a bar on a terminal, a line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_SECONDS_BETWEEN_LINES = 5.0


class PreparationProgress:
    """Of the preparation: images/s, time left and the number of unreadable pictures."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done, self._before, self._bad = name, total, 0, 0, 0
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

    def start_at(self, done: int) -> None:
        """So many pictures were prepared before."""
        self._done = self._before = done
        self.say(f"going on after {done:,} pictures")

    def advance(self, count: int, bad: int = 0) -> None:
        """So many more pictures are dealt with, so many of them unreadable."""
        self._done += count
        self._bad += bad
        unreadable = f", {self._bad:,} unreadable" if self._bad else ""
        if self._bar:
            self._bar.update(self._task, completed=self._done)
            self.say(f"{self._rate():,.0f} images/s{unreadable}")
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            left = (self._total - self._done) / self._rate()
            share = 100 * self._done / self._total
            self.say(f"{share:.0f} %, {self._rate():,.0f} images/s, {left:.0f} s left{unreadable}")

    def say(self, state: str) -> None:
        """What is being done, at once."""
        self._spoke = time.monotonic()
        if self._bar:
            self._bar.update(self._task, state=state)
        else:
            print(f"Preparing {self._name}: {state}", file=sys.stderr, flush=True)

    def _rate(self) -> float:
        return max(1, self._done - self._before) / max(1e-9, time.monotonic() - self._began)


class ByteProgress:
    """Of a file that is read or fetched: MB, MB/s and time left. total is 0 where nobody knows it."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._done, self._before = name, total, done, done
        self._began = self._spoke = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._task = self._bar.add_task(name, total=total or None, completed=done)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """So many more bytes are done."""
        self._done += count
        if self._bar:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._spoke >= _SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            rate = (self._done - self._before) / (self._spoke - self._began)
            left = (
                f" of {self._total / 1e6:,.0f} MB, {(self._total - self._done) / rate:.0f} s left"
                if self._total
                else " MB"
            )
            print(f"{self._name}: {self._done / 1e6:,.0f}{left}", file=sys.stderr, flush=True)
