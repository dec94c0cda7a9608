"""Runs the jobs of a sweep: several at a time, each in a fresh interpreter, none able to spoil another."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from alexnet_lab.data.parallel import usable_cores
from alexnet_lab.errors import UserError
from alexnet_lab.experiments.live_view import JobView, LiveView
from alexnet_lab.files import write_json
from alexnet_lab.training.result import read_result

TRAIN = Path(__file__).parents[2] / "train.py"
OUTPUT = "output.log"
POLL_SECONDS = 0.2
GRACE_SECONDS = 15.0  # between asking a job to end and ending it

# What a process that belongs to some other distributed job would leave behind.
RANK_VARIABLES = (
    "LOCAL_RANK", "RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT", "PL_GLOBAL_SEED",
)  # fmt: skip
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Job:
    """One run of a sweep. devices: how many GPUs or CPU processes it shares its work among."""

    name: str
    folder: Path
    overrides: list[str]
    devices: int = 1
    uses_gpus: bool = True


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    gpus: list[str] = field(default_factory=list)


def run_jobs(jobs: list[Job], at_once: int | None) -> None:
    """Run what has no result yet; return when all have ended.

    A job that fails leaves the others running. Raises UserError at the end where any failed, after
    printing each failed job's last lines; KeyboardInterrupt, SIGTERM and SIGHUP end every job first.
    """
    gpus = visible_gpus() if any(job.uses_gpus for job in jobs) else []
    devices = max((job.devices for job in jobs), default=1)
    slots = at_once or max(1, (len(gpus) or usable_cores()) // devices)
    if at_once is not None and at_once < 1:
        raise UserError(f"hydra.launcher.jobs={at_once}: must be at least 1")
    if gpus and devices > len(gpus):
        raise UserError(f"trainer.devices={devices}: this machine has {len(gpus)} GPUs")
    if gpus:
        slots = min(slots, len(gpus) // devices)
    threads = max(1, usable_cores() // min(slots, max(1, len(jobs))) // devices)

    views = {job.name: JobView(job.name, job.folder) for job in jobs}
    waiting = deque(job for job in jobs if read_result(job.folder) is None)
    for job in jobs:
        if job not in waiting:
            views[job.name].state = "complete"
    skipped = len(jobs) - len(waiting)
    free, running = list(gpus), list[_Running]()
    failed: dict[str, str] = {}
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with LiveView(list(views.values()), slots, skipped) as screen:
            while waiting or running:
                while waiting and len(running) < slots:
                    job = waiting.popleft()
                    own = [free.pop(0) for _ in range(job.devices)] if gpus and job.uses_gpus else []
                    running.append(_Running(job, _start(job, threads, own), own))
                    views[job.name].start()
                for active in list(running):
                    code = active.process.poll()
                    if code is None:
                        continue
                    running.remove(active)
                    free += active.gpus
                    _end_group(active.process, signal.SIGKILL)  # ranks that outlived rank zero
                    done = code == 0 and read_result(active.job.folder) is not None
                    if not done:
                        failed[active.job.name] = _ending(code)
                    views[active.job.name].finish("done" if done else "failed")
                screen.refresh()
                time.sleep(POLL_SECONDS)
            screen.refresh()
    finally:
        _stop(running)
        for number, handler in previous.items():
            signal.signal(number, handler)
    for job in jobs:
        if job.name in failed:
            _print_last_lines(job, failed[job.name])
    if failed:
        raise UserError(
            f"{len(failed)} of {len(jobs)} jobs failed: {', '.join(failed)}; the same command runs only these again"
        )


def visible_gpus() -> list[str]:
    """GPUs by the name or number that CUDA_VISIBLE_DEVICES takes, asked of the driver's tool, not of torch."""
    limited = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limited is not None:
        return [name.strip() for name in limited.split(",") if name.strip() not in ("", "-1")]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    answer = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return answer.stdout.split() if answer.returncode == 0 else []


def _start(job: Job, threads: int, gpus: list[str]) -> subprocess.Popen[bytes]:
    """A process group of its own: `python src/train.py <overrides> hydra.run.dir=<folder>`."""
    job.folder.mkdir(parents=True, exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in RANK_VARIABLES}
    for name in THREAD_VARIABLES:
        environment[name] = str(threads)
    environment["PYTHONUNBUFFERED"] = "1"
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    write_json(job.folder / "progress.json", {"state": "starting"}, durable=False)
    command = [sys.executable, str(TRAIN), *job.overrides, f"hydra.run.dir='{job.folder}'"]
    with (job.folder / OUTPUT).open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _end_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal every process that the job started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _stop(running: list[_Running]) -> None:
    """End what still runs: first by asking, then by force."""
    for active in running:
        _end_group(active.process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for active in running:
        with suppress(subprocess.TimeoutExpired):
            active.process.wait(max(0.1, deadline - time.monotonic()))
        _end_group(active.process, signal.SIGKILL)
        active.process.wait()


def _ending(code: int) -> str:
    return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _print_last_lines(job: Job, ending: str, lines: int = 12) -> None:
    log = job.folder / OUTPUT
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        last = file.read().decode(errors="replace").splitlines()[-lines:]
    print(f"\n{job.name} failed ({ending}); the end of {log}:", file=sys.stderr)
    for line in last or ["(it printed nothing)"]:
        print(f"  {line}", file=sys.stderr)
