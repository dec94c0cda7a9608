"""One screen for a sweep: each job's state, epoch, error and time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from alexnet_lab.core.progress import duration
from alexnet_lab.runs.progress import read_progress
from alexnet_lab.sweeps.job_process import Job

STYLES = {
    "complete": "green",
    "completed": "green",
    "done": "green",
    "failed": "bold red",
    "damaged": "bold red",
    "interrupted": "yellow",
    "elsewhere": "magenta",
    "waiting": "dim",
    "waiting for room": "bold yellow",  # on the disk
    "not started": "dim",
}
FEWEST_JOBS = 4  # lines of them on the smallest screen
LINE_EVERY_SECONDS = 20.0  # between two reports where there is no terminal


class JobView:
    """What is known of a job, read from its folder's progress.json while it runs."""

    def __init__(self, job: Job) -> None:
        self.job, self.name = job, job.name
        self.state = "waiting"
        self.started = self.seconds = 0.0
        self.progress: dict[str, Any] = {}
        self.holder: str | None = None  # who runs it, where that is another process

    def start(self) -> None:
        """It has been started here."""
        self.state, self.started, self.holder = "starting", time.monotonic(), None

    def lend(self, holder: str | None) -> None:
        """Another process runs it."""
        if self.holder is None:
            self.started = time.monotonic()
        self.state, self.holder = "elsewhere", holder or "another process"

    def finish(self, state: str) -> None:
        self.read()
        self.state, self.seconds = state, time.monotonic() - self.started

    @property
    def ended(self) -> bool:
        return self.state in ("complete", "done", "failed")

    @property
    def running(self) -> bool:
        return not self.ended and not self.waiting

    @property
    def waiting(self) -> bool:
        return self.state.startswith("waiting")

    def read(self) -> None:
        """Take over what the job last said of itself; a file that is not there yet changes nothing."""
        self.progress |= read_progress(self.job.folder)
        if self.holder is None:
            self.state = self.progress.get("state", self.state)


class Results(Protocol):
    """What an experiment's jobs have shown so far; handed in, because reports import experiments."""

    def take(self, job: str, result: dict[str, Any]) -> list[str]:
        """Take in the result of a job that has ended, once. Returns lines to say."""

    def table(self) -> Table | None:
        """What is shown below the jobs; None as long as there is nothing."""


class LiveView:
    """A table that redraws itself on a terminal; a line now and then anywhere else."""

    def __init__(self, jobs: list[JobView], slots: int, skipped: int, results: Results | None = None) -> None:
        self.jobs, self.slots, self.skipped, self.results = jobs, slots, skipped, results
        self._taken: set[str] = set()
        self.console = Console(stderr=True)
        self.started = time.monotonic()
        self._said: set[str] = set()
        self._last_line = self.started
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self) -> LiveView:
        if self.skipped:
            self.console.print(f"{self.skipped} of {len(self.jobs)} jobs are complete already", highlight=False)
        if self._live is not None and self.skipped < len(self.jobs):
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None and self._live.is_started:
            self._live.stop()
        elif self._live is None and error is None and self.skipped < len(self.jobs):
            self.console.print(self.summary(), highlight=False, soft_wrap=True)

    def refresh(self) -> None:
        """Read the running jobs' progress and show it."""
        for job in self.jobs:
            if job.running:
                job.read()
        said = self._take_results()
        if self._live is not None:
            if self._live.is_started:
                self._live.update(self.table(), refresh=True)
        else:
            self._print_lines()
            for line in said:
                self.console.print(Text(line), soft_wrap=True)

    def _take_results(self) -> list[str]:
        """What the results of jobs that have ended since say."""
        said = []
        for job in self.jobs:
            if self.results is not None and job.job.result is not None and job.name not in self._taken:
                self._taken.add(job.name)
                said += self.results.take(job.name, job.job.result)
        return said

    def seconds_left(self) -> float | None:
        """Until the last job ends, supposing that jobs yet to start take as long as those so far."""
        now = time.monotonic()
        left: dict[str, float | None] = {job.name: job.progress.get("seconds_left") for job in self.jobs if job.running}
        known = [job.seconds for job in self.jobs if job.state == "done"]
        known += [now - job.started + (left[job.name] or 0.0) for job in self.jobs if left.get(job.name)]
        if not known:
            return None
        usual = sum(known) / len(known)
        work = usual * sum(job.waiting for job in self.jobs)
        for job in self.jobs:
            if job.running:
                said = left[job.name]
                work += max(0.0, usual - (now - job.started)) if said is None else float(said)
        return work / self.slots

    def table(self) -> Group:
        """The screen as rich renders it.

        Where it does not fit, jobs that ended or wait are counted instead; results are left out where less than
        FEWEST_JOBS could be shown beside them.
        """
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("job", "state"):
            table.add_column(column, no_wrap=True)
        for column in ("epoch", "", "val top-1 error", "images/s", "time left"):
            table.add_column(column, justify="right" if column else "left", no_wrap=True)
        room = self.console.height - 5
        results = self.results.table() if self.results is not None else None
        below = results.row_count + 2 if results is not None else 0
        if room - below < FEWEST_JOBS:
            results, below = None, 0
        shown = self._fitting(max(FEWEST_JOBS, room - below))
        for job in shown:
            progress = job.progress
            epochs = progress.get("epochs")
            done = epochs if job.state == "done" else progress.get("epoch", 0)
            error = progress.get("val_top1_error")
            table.add_row(
                job.name,
                Text(job.state, STYLES.get(job.state, "cyan")),
                f"{done:.1f}/{epochs}" if epochs else "",
                ProgressBar(float(epochs), float(done or 0), width=16, complete_style="cyan") if epochs else "",
                "" if error is None else f"{100 * error:.1f} %",
                f"{progress['images_per_second']:.0f}" if progress.get("images_per_second") else "",
                duration(progress.get("seconds_left")) if job.running else "",
            )
        lines: list[Any] = [table]
        if len(shown) < len(self.jobs):
            lines.append(Text(f"and {len(self.jobs) - len(shown)} more", "dim"))
        lines.append(Text(self.summary(), "bold"))
        if results is not None:
            lines += [Text(), results]
        return Group(*lines)

    def summary(self) -> str:
        """Counts, time so far and time left, in one line."""
        states = [job.state for job in self.jobs]
        ended = sum(job.ended for job in self.jobs)
        failed = f", {states.count('failed')} failed" if "failed" in states else ""
        left = self.seconds_left()
        rest = "" if ended == len(states) else f", about {duration(left)} left" if left is not None else ""
        return f"{ended} of {len(states)} jobs ended{failed}; {duration(time.monotonic() - self.started)} so far{rest}"

    def _fitting(self, room: int) -> list[JobView]:
        if len(self.jobs) <= room:
            return self.jobs
        running = [job for job in self.jobs if job.running or job.state == "failed"]
        others = [job for job in self.jobs if job not in running]
        ended, waiting = [job for job in others if job.ended], [job for job in others if not job.ended]
        space = max(0, room - len(running))
        kept = running[:room] + waiting[: space // 2] + ended[-(space - min(len(waiting), space // 2)) :][:space]
        return [job for job in self.jobs if job in kept]

    def _print_lines(self) -> None:
        for job in self.jobs:
            mark = f"{job.name} {job.state}"
            if job.state in ("starting", "elsewhere", "waiting for room", "done", "failed") and mark not in self._said:
                self._said.add(mark)
                error = job.progress.get("val_top1_error")
                tail = f", val top-1 error {100 * error:.1f} %" if job.state == "done" and error is not None else ""
                took = f" after {duration(job.seconds)}" if job.ended else ""
                self.console.print(f"{job.name}: {job.state}{took}{tail}", highlight=False, soft_wrap=True)
        if time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(self.summary(), highlight=False, soft_wrap=True)
