"""The complete runs of any sweep, and why the others of its folder are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.config_snapshot import CONFIG_FILE, first_difference, read_configuration, settings_of_result
from alexnet_lab.runs.result import RESULT_FILE, read_result, refuse_partial


@dataclass(frozen=True)
class FinishedRun:
    """A run that ended well. settings: what its result depends on but the seed, by dotted key."""

    folder: Path
    result: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def seed(self) -> int:
        return int(self.result["seed"])


@dataclass(frozen=True)
class SweepResults:
    """What lies in a sweep's folder. unfinished: names of folders; left_out: a line for each that cannot be taken."""

    folder: Path
    runs: list[FinishedRun]
    unfinished: list[str]
    left_out: list[str]


def read_sweep(folder: Path) -> SweepResults:
    """The runs in a sweep's folder, or the one in a run's own folder.

    Raises UserError where there is no such folder, or no complete run in it.
    """
    check_folder(folder)
    sweep = SweepResults(folder, [], [], [])
    for run_folder in _run_folders(folder):
        try:
            run = _read_run(run_folder)
        except UserError as error:
            sweep.left_out.append(str(error))
            continue
        if run is None:
            sweep.unfinished.append(run_folder.name)
        else:
            sweep.runs.append(run)
    if not sweep.runs:
        reason = f" ({sweep.left_out[0]})" if sweep.left_out else ""
        raise UserError(f"{folder}: has no complete run{reason}; name the folder of a sweep, as runs/NAME")
    return sweep


def check_folder(folder: Path) -> None:
    """Raise UserError where no sweep can be in it."""
    if not folder.is_dir():
        raise UserError(f"{folder!s:.200}: no such folder; name that of a sweep, as runs/NAME")


def _run_folders(folder: Path) -> list[Path]:
    if any((folder / name).exists() for name in (CONFIG_FILE, RESULT_FILE)):
        return [folder]
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None


def _read_run(folder: Path) -> FinishedRun | None:
    """None of a run that is not complete. Raises UserError for one that is damaged, or that contradicts itself."""
    if folder.is_symlink():
        raise UserError(f"{folder}: is a symbolic link, which is not followed")
    result = read_result(folder)
    if result is None:
        return None
    refuse_partial(folder, result)
    configuration = read_configuration(folder)
    if configuration is None:
        raise UserError(f"{folder}: has a {RESULT_FILE} and no {CONFIG_FILE}")
    if other := first_difference(configuration, result["config"]):
        raise UserError(f"{folder}: its {CONFIG_FILE} says {other} in its {RESULT_FILE}")
    return FinishedRun(folder, result, settings_of_result(configuration))
