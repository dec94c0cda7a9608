"""What the page shows of one run folder, which anybody may have put there: read with care, changed nowhere."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import open_regular
from alexnet_lab.core.paths import as_called
from alexnet_lab.core.progress import duration
from alexnet_lab.reports.heading import WHAT_MAY_DIFFER, machine, plain
from alexnet_lab.runs.metrics import METRICS_FILE, read_epochs
from alexnet_lab.runs.progress import PROGRESS_FILE
from alexnet_lab.runs.result import RESULT_FILE, read_result
from alexnet_lab.sweeps.job_process import OUTPUT
from alexnet_lab.sweeps.status import JobStatus, job_status

LAST_LINES, LAST_BYTES = 12, 8192
SEED = re.compile(r"(?:^|_)seed-(\d+)(?=_|$)")
CURVES = ("val_top1_error", "train_top1_error")  # columns of metrics.csv
NEEDS_WORDS = ("failed", "damaged", "interrupted")  # states of which one wants to know why


@dataclass(frozen=True)
class RunView:
    """One run. curve: by epoch, counted from 1, the errors of CURVES in percent. seconds: of computing; None where it
    is not complete. log: the last lines that it printed, where it did not end well.
    """

    name: str
    path: str
    status: JobStatus
    result: Mapping[str, Any] | None
    curve: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        return self.status.state

    @property
    def seed(self) -> int | None:
        found = SEED.search(self.name)
        return int(found[1][:9]) if found else None

    @property
    def row(self) -> str:
        """Its name without the seed: what its sweep compares."""
        return SEED.sub("", self.name).strip("_") or "every run"

    @property
    def error(self) -> float | None:
        """Top-1 error of the last validation, in percent."""
        found = self.status.progress.get("val_top1_error")
        return None if found is None else 100.0 * float(found)

    @property
    def epochs(self) -> str:
        """4, or of a run under way 2.5/4."""
        done, epochs = self.status.progress.get("epoch", 0), self.status.progress.get("epochs")
        if self.state == "complete":
            return "" if epochs is None else f"{epochs:.0f}"
        return f"{done:.1f}/{epochs:.0f}" if epochs else ""

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        if self.state == "complete":
            return 1.0
        done, epochs = self.status.progress.get("epoch", 0), self.status.progress.get("epochs")
        return min(1.0, done / epochs) if epochs else 0.0

    @property
    def seconds(self) -> float | None:
        return None if self.result is None else float(self.result["wall_seconds"])

    @property
    def time(self) -> str:
        """What it took; of a running one what is left."""
        left = self.status.progress.get("seconds_left")
        if self.state == "running":
            return "" if left is None else f"{duration(left)} left"
        return duration(self.seconds)

    @property
    def machine(self) -> str:
        return "" if self.result is None else machine(self.result["hardware"])

    @property
    def commit(self) -> str:
        commit = None if self.result is None else self.result.get("commit")  # which old versions did not keep
        return "" if commit is None else plain(WHAT_MAY_DIFFER["commit"]({"commit": str(commit)}))

    @property
    def command(self) -> str:
        """What makes the same run again; empty where it is not known."""
        overrides = (self.result or {}).get("overrides")
        if not isinstance(overrides, list) or not all(isinstance(text, str) for text in overrides):
            return ""
        return as_called(shlex.join(["python", "src/train.py", *overrides]))


class RunReader:
    """Reads run folders, and again only the files in them that have changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, str], tuple[object, Any]] = {}

    def read(self, folder: Path) -> RunView:
        """What a folder holds, whatever it holds."""
        try:
            return self._read(folder)
        except OSError as error:  # such as a folder that may not be looked into
            reason = f"cannot be read ({error.strerror})"
            return RunView(_printable(folder.name), _printable(str(folder)), JobStatus("", "damaged", reason), None)

    def _read(self, folder: Path) -> RunView:
        name, path = _printable(folder.name), _printable(str(folder))
        if folder.is_symlink():
            return RunView(name, path, JobStatus(name, "damaged", "is a symbolic link, which is not followed"), None)

        def result_of(place: Path) -> dict[str, Any] | None:
            found: dict[str, Any] | None = self._cached(place, RESULT_FILE, read_result)
            return found

        status = job_status(folder, result_of)
        result = result_of(folder) if status.state == "complete" else None
        notes: list[str] = [status.note] if status.state == "damaged" else []
        curve: Mapping[int, tuple[float, ...]] = {}
        if (folder / METRICS_FILE).exists():
            try:
                curve = self._cached(folder, METRICS_FILE, _curve)
            except UserError as error:
                notes.append(str(error))
        log: tuple[str, ...] = ()
        if status.state in NEEDS_WORDS:
            log = self._cached(folder, OUTPUT, _end_of_log)
        return RunView(name, path, status, result, curve, tuple(notes), log)

    def _cached(self, folder: Path, name: str, read: Callable[[Path], Any]) -> Any:
        """read(folder), kept until the file changes; a UserError is kept too."""
        mark = signature(folder / name)
        kept = self._kept.get((folder, name))
        if kept is None or kept[0] != mark:
            try:
                found: Any = read(folder)
            except UserError as error:
                found = error
            kept = self._kept[folder, name] = (mark, found)
        if isinstance(kept[1], UserError):
            raise kept[1]
        return kept[1]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def signature(path: Path) -> object:
    """Changes with a file; None where there is none."""
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def state_of(folder: Path) -> object:
    """Changes with what is shown of a run folder, but for who holds its lock."""
    return tuple(signature(folder / name) for name in (RESULT_FILE, PROGRESS_FILE, METRICS_FILE, OUTPUT, "evaluation"))


def _curve(folder: Path) -> dict[int, tuple[float, ...]]:
    """Empty before the first validation."""
    found = {}
    for row in read_epochs(folder):
        found[int(row["epoch"]) + 1] = tuple(100.0 * row[column] for column in CURVES if column in row)
    return {epoch: values for epoch, values in sorted(found.items()) if len(values) == len(CURVES)}


def _end_of_log(folder: Path) -> tuple[str, ...]:
    """The last lines that a run printed, as text alone."""
    try:
        with open_regular(folder / OUTPUT) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            text = file.read(LAST_BYTES).decode("utf-8", errors="replace")
    except (OSError, UserError):
        return ()
    return tuple("".join(c for c in line if c.isprintable())[:500] for line in text.splitlines()[-LAST_LINES:])
