"""Jobs of a sweep by way of Hydra's own launchers and those of others: basic, joblib, submitit.

Such a launcher calls a function for each job, in its own process or on another machine. Here the function starts the
job's fresh interpreter, so that no job leaves ranks, trackers or environment to the next.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from alexnet_lab.core import parent_watchdog
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE, Preempted, UserError
from alexnet_lab.core.paths import TRAIN
from alexnet_lab.runs.paths import one_run, quoted
from alexnet_lab.runs.result import read_result
from alexnet_lab.runs.same_images import check_same_images
from alexnet_lab.sweeps.job_process import Job, clean_environment, ending, last_lines, output_of

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)  # SIGUSR2: submitit's, before time is up


def place_of(job: Job) -> list[str]:
    """The overrides by which a launcher gives a job its folder."""
    folder = job.folder.absolute()
    return [f"hydra.sweep.dir={quoted(str(folder.parent))}", f"hydra.sweep.subdir={quoted(folder.name)}"]


class FreshInterpreter:
    """What a launcher calls for each job: trains in a new process, and returns its exit code.

    composed_from: what the job's overrides are composed with, as in cli.composition. It travels to other machines.
    """

    def __init__(self, composed_from: Sequence[str]) -> None:
        self.composed_from = list(composed_from)

    def __call__(self, settings: Any) -> int:
        job = HydraConfig.get()
        folder = Path(job.runtime.output_dir)
        command = [sys.executable, str(TRAIN), *self.composed_from, *job.overrides.task, *one_run(folder)]
        environment = {**clean_environment(), **parent_watchdog.environment()}
        with output_of(folder) as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
            with passing_signals_on(process):
                return process.wait()


@contextlib.contextmanager
def passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """What asks this process to end asks the job instead, which keeps its place."""

    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM if number == signal.SIGUSR2 else number)

    previous: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # another thread, to which no signals come
        for passed in PASSED_ON:
            previous[passed] = signal.signal(passed, pass_on)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def launch(launcher: Any, jobs: Sequence[Job], name: str) -> None:
    """Run what has no result yet. Raises UserError where jobs failed, Preempted where they were asked to end."""
    left = [job for job in jobs if job.result is None]
    if len(left) < len(jobs):
        print(f"{len(jobs) - len(left)} of {len(jobs)} jobs are complete already", file=sys.stderr)
    returned = _launched(launcher, left, name) if left else []
    codes = [code if isinstance(code := answer._return_value, int) else 1 for answer in returned]
    for job in left:
        job.result = read_result(job.folder)
    missing = [(job, code) for job, code in zip(left, codes, strict=False) if job.result is None]
    done = len(jobs) - len(missing)
    print(f"{len(jobs)} jobs: {done} complete, {len(missing)} not", file=sys.stderr)
    if not missing:
        check_same_images({job.folder: job.result for job in jobs if job.result is not None})
        return
    if all(code in (PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE) for _, code in missing):
        raise Preempted(f"interrupted, {done} of {len(jobs)} jobs are complete; the same command goes on from here")
    for job, code in missing:
        print(f"\n{job.name}: {ending(code)}", file=sys.stderr)
        with contextlib.suppress(OSError):
            print(*last_lines(job), sep="\n", file=sys.stderr)
    raise UserError(
        f"{len(missing)} of {len(jobs)} jobs failed: {', '.join(job.name for job, _ in missing)}; the same command "
        "runs only these again"
    )


def _launched(launcher: Any, jobs: Sequence[Job], name: str) -> Sequence[Any]:
    try:
        answers: Sequence[Any] = launcher.launch([[*job.overrides, *place_of(job)] for job in jobs], initial_job_idx=0)
    except (UserError, Preempted):
        raise
    except Exception as error:
        module = type(error).__module__.partition(".")[0]
        if module not in ("submitit", "joblib", "ray", "redis", "rq"):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(f"hydra/launcher={name}: {lines[0] if lines else type(error).__name__}") from error
    return answers
