"""One job of a sweep as a process: a fresh interpreter that holds its run folder and ends with its scheduler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from alexnet_lab.core import parent_watchdog
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, STOPPED_EXIT_CODE, UserError
from alexnet_lab.core.paths import TRAIN
from alexnet_lab.runs.lock import HANDED_DOWN, RunLock
from alexnet_lab.runs.paths import one_run
from alexnet_lab.runs.progress import show_progress

OUTPUT = "output.log"

# What a process that belongs to some other distributed job would leave behind.
RANK_VARIABLES = (
    "LOCAL_RANK", "RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",
)  # fmt: skip
# What an agent of a W&B sweep says to the one run that it starts; each job here is a run of its own.
AGENT_VARIABLES = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Job:
    """One run of a sweep. devices: how many GPUs or CPU processes it shares its work among. result: once it has one."""

    name: str
    folder: Path
    overrides: list[str]
    devices: int = 1
    uses_gpus: bool = True
    result: dict[str, Any] | None = None


@dataclass
class JobProcess:
    """A job that was started: its process leads a group of its own, and holds the lock as this one does."""

    job: Job
    lock: RunLock
    process: subprocess.Popen[bytes]
    gpus: list[str] = field(default_factory=list)

    def signal(self, number: signal.Signals) -> None:
        """Signal every process that the job started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def poll(self) -> int | None:
        """The exit code; None while the job runs. With its first process every other one ends."""
        code = self.process.poll()
        if code is not None:
            self.signal(signal.SIGKILL)  # ranks that outlived rank zero
            self.lock.release()
        return code


def clean_environment() -> dict[str, str]:
    """The environment without what belongs to some other run."""
    return {key: value for key, value in os.environ.items() if key not in RANK_VARIABLES + AGENT_VARIABLES}


def start(job: Job, lock: RunLock, threads: int, gpus: list[str]) -> JobProcess:
    """`python src/train.py <overrides> hydra.run.dir=<folder>` in its locked folder."""
    environment = clean_environment()
    environment |= {name: str(threads) for name in THREAD_VARIABLES}
    environment |= {"PYTHONUNBUFFERED": "1", HANDED_DOWN: str(lock.descriptor), **parent_watchdog.environment()}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    show_progress(job.folder, {"state": "starting"})
    command = [sys.executable, str(TRAIN), *job.overrides, *one_run(job.folder)]
    with output_of(job.folder) as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            pass_fds=(lock.descriptor,),
        )
    return JobProcess(job, lock, process, gpus)


def stop(running: list[JobProcess], grace: float, hurried: Callable[[], bool]) -> None:
    """End what still runs: first by asking; after the grace, or when it becomes hurried, by force."""
    for active in running:
        active.signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    left = list(running)
    while left and time.monotonic() < deadline and not hurried():
        left = [active for active in left if active.poll() is None]
        time.sleep(0.05)
    for active in left:
        active.signal(signal.SIGKILL)
        active.process.wait()
        active.poll()


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code == PREEMPTED_EXIT_CODE:
        return f"asked to end (exit code {code})"
    if code == STOPPED_EXIT_CODE:
        return f"stopped by hand (exit code {code})"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def last_lines(job: Job, lines: int = 12) -> list[str]:
    """The end of what the job printed."""
    with (job.folder / OUTPUT).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def output_of(folder: Path) -> IO[bytes]:
    """The file that takes what the job prints, opened to be continued."""
    path = folder / OUTPUT
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644), "ab")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); remove it") from None
