"""Where a sweep stands, read from its folders alone: nothing is written, and it may be running meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alexnet_lab.core.console import output_console
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import RUNS
from alexnet_lab.core.progress import duration
from alexnet_lab.runs.checkpoints import has_checkpoint
from alexnet_lab.runs.config_snapshot import CONFIG_FILE
from alexnet_lab.runs.lock import holder
from alexnet_lab.runs.measured import measured_file
from alexnet_lab.runs.paths import ENSEMBLES
from alexnet_lab.runs.progress import read_progress
from alexnet_lab.runs.result import read_result
from alexnet_lab.sweeps.live_view import STYLES

STATES = ("complete", "running", "interrupted", "failed", "damaged", "not started")


@dataclass(frozen=True)
class JobStatus:
    """One run folder. state is one of STATES; note says who runs it, how it failed, or what is damaged."""

    name: str
    state: str
    note: str = ""
    progress: dict[str, Any] = field(default_factory=dict)  # as in read_progress


def sweep_status(folder: Path, names: Sequence[str] = ()) -> list[JobStatus]:
    """The jobs of a sweep's folder; where any are named these alone, whether they have a folder or not.

    Raises UserError where the folder cannot be read, or is not there and no job is named.
    """
    try:
        found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        if not names:
            raise UserError(f"{folder}: no such sweep; runs/ holds {_sweeps_in_words()}") from None
        found = []
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    return [job_status(folder / name) for name in names or found]


def job_status(folder: Path, read: Callable[[Path], dict[str, Any] | None] = read_result) -> JobStatus:
    """What a run folder says of its run. read: who looks often need not read a result anew each time."""
    try:
        result = read(folder)
    except UserError as error:
        return JobStatus(folder.name, "damaged", str(error))
    if result is not None:
        ended = dict.fromkeys(("epoch", "epochs"), result["epochs"])
        return JobStatus(folder.name, "complete", "", ended | {"val_top1_error": result["metrics"]["val_top1_error"]})
    if measured_file(folder, "rival", "json").exists():
        return JobStatus(folder.name, "complete", "no network")
    progress = read_progress(folder)
    if held_by := holder(folder):
        return JobStatus(folder.name, "running", f"{progress.get('state', 'starting')}, {held_by}", progress)
    if progress.get("state") == "failed":
        return JobStatus(folder.name, "failed", progress.get("ending", ""), progress)
    begun = has_checkpoint(folder) or (folder / CONFIG_FILE).exists()
    return JobStatus(folder.name, "interrupted" if begun else "not started", "", progress)


def print_status(folder: Path, jobs: Sequence[JobStatus]) -> None:
    """One row per job on standard output. Raises UserError afterwards where something is damaged."""
    console = output_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", overflow="fold")
    table.add_column("state", no_wrap=True, min_width=max(map(len, STATES)))
    for column in ("epoch", "val top-1 error", "time left"):
        table.add_column(column, justify="right", no_wrap=True, min_width=len(column))
    table.add_column("", min_width=30)
    for job in jobs:
        progress = job.progress
        error, epochs = progress.get("val_top1_error"), progress.get("epochs")
        table.add_row(
            Text("".join(c for c in job.name if c.isprintable())),
            Text(job.state, STYLES.get(job.state, "cyan")),
            f"{progress.get('epoch', 0):.1f}/{epochs}" if epochs else "",
            "" if error is None else f"{100 * error:.1f} %",
            duration(progress.get("seconds_left")) if job.state == "running" else "",
            Text(job.note if job.state != "damaged" else "", "dim"),
        )
    console.print(f"{folder}: {in_words(jobs)}", highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    damaged = [job.note for job in jobs if job.state == "damaged"]
    if damaged:
        raise UserError(damaged[0] + (f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""))


def print_sweeps() -> None:
    """A line for each sweep in runs/."""
    for folder in _sweeps():
        print(f"{folder}: {in_words(sweep_status(folder))}")
    if not _sweeps():
        print(f"{RUNS}/: no sweeps")


def in_words(jobs: Sequence[JobStatus]) -> str:
    """15 jobs: 8 complete, 2 running, 5 not started."""
    counts = Counter(job.state for job in jobs)
    return f"{len(jobs)} jobs: " + ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _sweeps() -> list[Path]:
    return sorted(folder for folder in RUNS.glob("*") if folder.is_dir() and folder != ENSEMBLES)


def _sweeps_in_words() -> str:
    return ", ".join(folder.name for folder in _sweeps()) or "none"
