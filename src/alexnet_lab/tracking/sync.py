"""Uploads what runs left on the disk for W&B: each once, and the rest again where it was interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.lock import holder
from alexnet_lab.tracking.wandb_access import find_access


def waiting(folder: Path) -> dict[Path, list[Path]]:
    """By run folder below `folder`: records for W&B that wandb has not marked as uploaded, oldest first."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(folder.glob("**/wandb/*run-*/run-*.wandb")):
        if not path.with_name(path.name + ".synced").exists():
            found.setdefault(path.parents[2], []).append(path)
    return found


def say_what_waits(sweep: Path) -> None:
    """One line at the end of a sweep, whose jobs' own lines are in their logs; none where all is uploaded."""
    if number := len(waiting(sweep)):
        print(f"W&B: {number} runs of {sweep} are on the disk alone; `make sync` uploads them", file=sys.stderr)


def sync(folder: Path) -> Iterator[tuple[Path, str]]:
    """Upload what waits below `folder`; yields each run folder with what became of it.

    Raises UserError where there is no account or no network, and at the end where something was not uploaded.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    runs = waiting(folder)
    if not runs:
        return
    access = find_access(wanted=True)
    if access.mode != "online":
        raise UserError(f"W&B: {access.reason}; {access.remedy}")
    left = 0
    for run, records in runs.items():
        if (user := holder(run)) is not None:
            left += 1
            yield run, f"is being run by {user}"
            continue
        said = _upload(run, records)
        if run in waiting(run):
            left += 1
            yield run, f"not uploaded ({said})"
        else:
            yield run, "uploaded"
    if left:
        raise UserError(f"{left} of {len(runs)} runs are not uploaded; the same command tries only these again")


def _upload(run: Path, records: list[Path]) -> str:
    """Have wandb upload the records of one run; returns the last it said."""
    with tempfile.TemporaryDirectory(prefix="alexnet-lab-wandb-") as scratch:
        # Not by way of the process that find_access may have started in another folder.
        environment = {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}
        environment |= dict.fromkeys(("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"), scratch)
        answer = subprocess.run(
            # In the run's folder, because its records name its files from there.
            [
                sys.executable,
                "-m",
                "wandb",
                "sync",
                "--include-online",
                *(str(path.relative_to(run)) for path in records),
            ],
            cwd=run,
            env=environment | {"WANDB_SILENT": "false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    said = [line.strip() for line in (answer.stderr + answer.stdout).splitlines() if line.strip()]
    return said[-1] if said else f"exit code {answer.returncode}"
