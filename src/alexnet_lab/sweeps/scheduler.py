"""Runs the jobs of a sweep: several at a time, none able to spoil another, shared with other processes.

Each job is run under its folder's lock, so that several schedulers on one sweep, on one machine or several,
share the work: a job that another one runs is left alone until that one has ended, however it ended.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE, Preempted, UserError
from alexnet_lab.core.files import has_room, make_folder
from alexnet_lab.core.parallel import usable_cores, visible_gpus
from alexnet_lab.core.signals import ASKS_A_SWEEP_TO_END, listen
from alexnet_lab.runs.checkpoints import has_checkpoint, room_for_checkpoints
from alexnet_lab.runs.lock import holder, take
from alexnet_lab.runs.progress import show_progress
from alexnet_lab.runs.result import read_result
from alexnet_lab.runs.same_images import check_same_images
from alexnet_lab.sweeps import job_process
from alexnet_lab.sweeps.job_process import Job, JobProcess
from alexnet_lab.sweeps.live_view import JobView, LiveView, Results

POLL_SECONDS = 0.2
ASK_AGAIN_SECONDS = 1.0  # between two attempts to lock a folder that another process runs
GRACE_SECONDS = 60.0  # between asking a job to end and ending it: it saves a checkpoint meanwhile
ONE_REQUEST_SECONDS = 1.0  # signals that come together are one request
ASK_FOR_ROOM_SECONDS = 5.0  # between two looks at a full disk
MOST_PREEMPTIONS = 20  # of one job by others than this scheduler: what ends it may do so for ever


@dataclass
class _Turn:
    """A job with what has become of it."""

    job: Job
    view: JobView
    not_before: float = 0.0
    preemptions: int = 0
    failures: list[str] = field(default_factory=list)
    continued: bool = False


def check_options(at_once: int | None, retries: int) -> None:
    """Raise UserError for options of the launcher that cannot be meant."""
    if at_once is not None and at_once < 1:
        raise UserError(f"hydra.launcher.jobs={at_once}: must be at least 1")
    if not 0 <= retries <= 1000:
        raise UserError(f"hydra.launcher.sweep_retries={retries}: must be from 0 to 1000")


class Scheduler:
    """run() ends when every job is complete or has failed for good."""

    def __init__(self, jobs: list[Job], at_once: int | None, retries: int, results: Results | None = None) -> None:
        check_options(at_once, retries)
        self.retries, self.results = retries, results
        self.gpus = visible_gpus() if any(job.uses_gpus for job in jobs) else []
        devices = max((job.devices for job in jobs), default=1)
        if self.gpus and devices > len(self.gpus):
            raise UserError(f"trainer.devices={devices}: this machine has {len(self.gpus)} GPUs")
        slots = at_once or max(1, (len(self.gpus) or usable_cores()) // devices)
        self.slots = min(slots, len(self.gpus) // devices) if self.gpus else slots
        self.threads = max(1, usable_cores() // min(self.slots, max(1, len(jobs))) // devices)
        self.turns = [_Turn(job, JobView(job)) for job in jobs]
        self.waiting: deque[_Turn] = deque()
        self.running: list[tuple[_Turn, JobProcess]] = []
        self.counts: Counter[str] = Counter()
        self.asked_to_end = self.hurried = False
        self._asked_at = 0.0

    def run(self) -> None:
        """Run what has no result yet.

        A job that fails leaves the others running and is tried again after them. Raises UserError at the end
        where any failed for good, after printing its last lines; Preempted where this process is asked to
        end, after every job has ended.
        """
        for turn in self.turns:
            if turn.job.result is None:
                self.waiting.append(turn)
            else:
                turn.view.state = "complete"
                self.counts["complete before"] += 1
        for turn in self.waiting:
            make_folder(turn.job.folder)
        previous = listen(ASKS_A_SWEEP_TO_END, self._ask_to_end)
        try:
            views = [turn.view for turn in self.turns]
            with LiveView(views, self.slots, self.counts["complete before"], self.results) as screen:
                while (self.waiting or self.running) and not self.asked_to_end:
                    self._start_waiting()
                    self._take_in_ended()
                    screen.refresh()
                    time.sleep(POLL_SECONDS)
        finally:
            # Asked a second time, it does not wait for checkpoints.
            job_process.stop([active for _, active in self.running], GRACE_SECONDS, hurried=lambda: self.hurried)
            for number, handler in previous.items():
                signal.signal(number, handler)
        if self.asked_to_end:
            raise Preempted(f"interrupted, {self.summary()}; the same command goes on from here")
        print(self.summary(), file=sys.stderr)
        failed = [turn for turn in self.turns if turn.view.state == "failed"]
        for turn in failed:
            _print_end_of(turn)
        if failed:
            names = ", ".join(turn.job.name for turn in failed)
            raise UserError(
                f"{len(failed)} of {len(self.turns)} jobs failed: {names}; the same command runs only these again"
            )
        # Where no images were prepared at the start, those that the jobs found need not be those of earlier results.
        check_same_images({turn.job.folder: turn.job.result for turn in self.turns if turn.job.result is not None})

    def summary(self) -> str:
        """What has become of the jobs, in one line."""
        parts = [f"{count} {what}" for what, count in self.counts.items() if count]
        parts += [f"{turn.job.name} {'; '.join(turn.failures)}" for turn in self.turns if turn.failures]
        return f"{len(self.turns)} jobs: {', '.join(parts) or 'none complete'}"

    def _ask_to_end(self, number: int, frame: object) -> None:
        now = time.monotonic()
        # Ctrl-C comes from the terminal, and once more from the program that started this one.
        self.hurried |= self.asked_to_end and now - self._asked_at > ONE_REQUEST_SECONDS
        if not self.asked_to_end:
            self.asked_to_end, self._asked_at = True, now

    def _start_waiting(self) -> None:
        """Start, for each free slot, the first waiting job that nobody else runs."""
        free = self.slots - len(self.running)
        for turn in list(self.waiting):
            if free <= 0:
                return
            if turn.not_before > time.monotonic():
                continue
            lock = take(turn.job.folder)
            if lock is None:
                turn.not_before = time.monotonic() + ASK_AGAIN_SECONDS
                turn.view.lend(holder(turn.job.folder))
                continue
            self.waiting.remove(turn)
            if self._has_result(turn.job):
                lock.release()
                turn.view.finish("complete")
                self.counts["done by another process"] += 1
                continue
            if turn.preemptions and not has_room(turn.job.folder, room_for_checkpoints(turn.job.folder)):
                lock.release()
                turn.not_before = time.monotonic() + ASK_FOR_ROOM_SECONDS
                turn.view.state = "waiting for room"
                self.waiting.append(turn)
                continue
            turn.continued |= has_checkpoint(turn.job.folder)
            gpus = [self.gpus.pop(0) for _ in range(turn.job.devices)] if self.gpus and turn.job.uses_gpus else []
            self.running.append((turn, job_process.start(turn.job, lock, self.threads, gpus)))
            turn.view.start()
            free -= 1

    def _take_in_ended(self) -> None:
        for turn, active in list(self.running):
            code = active.poll()
            if code is None:
                continue
            self.running.remove((turn, active))
            self.gpus += active.gpus
            if code == 0 and self._has_result(turn.job):
                turn.view.finish("done")
                self.counts["continued and done" if turn.continued else "done"] += 1
            elif code == PREEMPTED_EXIT_CODE and turn.preemptions < MOST_PREEMPTIONS:
                turn.preemptions += 1
                turn.view.state = "waiting"
                self.waiting.append(turn)
            else:
                self._fail(turn, code)

    def _has_result(self, job: Job) -> bool:
        job.result = read_result(job.folder)
        return job.result is not None

    def _fail(self, turn: _Turn, code: int) -> None:
        turn.failures.append(job_process.ending(code))
        turn.view.finish("failed")
        failed = {"state": "failed", "ending": turn.failures[-1], "attempts": len(turn.failures)}
        show_progress(turn.job.folder, turn.view.progress | failed)
        if len(turn.failures) <= self.retries and code != STOPPED_EXIT_CODE:
            turn.view.state = "waiting"
            self.waiting.append(turn)
        else:
            self.counts["failed"] += 1


def _print_end_of(turn: _Turn) -> None:
    log = turn.job.folder / job_process.OUTPUT
    print(f"\n{turn.job.name} failed ({'; '.join(turn.failures)}); the end of {log}:", file=sys.stderr)
    for line in job_process.last_lines(turn.job) or ["(it printed nothing)"]:
        print(f"  {line}", file=sys.stderr)
