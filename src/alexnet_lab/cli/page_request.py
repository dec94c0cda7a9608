"""What src/report.py and src/watch.py are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet_lab.cli.arguments import path, read_arguments, whole_number
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import RUNS
from alexnet_lab.runs.paths import DEFAULT_SWEEP, reports_folder

PORT = 8012
LONGEST_NAME = 255  # bytes, of a file system


@dataclass(frozen=True)
class WatchRequest:
    """A sweep's folder, which need not be there yet, and the port; 0: any that is free."""

    sweep: Path
    port: int


def read_report_request(arguments: Sequence[str]) -> Path:
    """The sweep's folder. Raises UserError where there is neither that nor a report on it."""
    sweep = _sweep(read_arguments(arguments, {"sweep": DEFAULT_SWEEP})["sweep"])
    if not sweep.is_dir() and not (reports_folder(sweep.name) / "claims.json").is_file():
        there = ", ".join(sorted(folder.name for folder in RUNS.glob("*") if folder.is_dir())) or "nothing"
        raise UserError(f"{sweep}: no such sweep; {RUNS}/ holds {there}")
    return sweep


def read_watch_request(arguments: Sequence[str]) -> WatchRequest:
    """Raises UserError."""
    asked = read_arguments(arguments, {"sweep": DEFAULT_SWEEP, "port": str(PORT)})
    return WatchRequest(_sweep(asked["sweep"]), whole_number("port", asked["port"], 0, 65535))


def _sweep(text: str) -> Path:
    """runs/NAME, of NAME or of runs/NAME."""
    given = path(text)
    folder = given if given.parent == RUNS else RUNS / given
    if folder.parent != RUNS or folder.name in (".", "..") or len(os.fsencode(folder.name)) > LONGEST_NAME:
        raise UserError(f"sweep={text:.80}: must be the name of a folder in {RUNS}/")
    return folder
