"""What `src/reproduce.py` is asked for on its command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException

from alexnet_lab.claims.experiment import Experiment, file_of, load_experiment
from alexnet_lab.cli.arguments import path, read_arguments, split_arguments, whole_number
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.hydra_compat import parsed
from alexnet_lab.core.paths import CONF, LOCAL_CONF, RUNS
from alexnet_lab.runs.paths import experiment_jobs, quoted

OWN_KEYS = ("experiment", "seeds", "jobs", "sweep", "sweep_retries", "data")
EXPERIMENT = "ablations"
DATA = "fractals"


@dataclass
class Request:
    """A sweep of an experiment, of experiments/ or of one's own.

    options: of Hydra, what the sweep is composed from besides.
    seeds: how many, from 0; jobs: at the same time, None for automatic; sweep_retries: None for the launcher's own.
    passed_on: overrides for every run, of which none is a sweep.
    """

    experiment: Experiment
    experiment_name: str
    sweep: str
    data: str
    seeds: int
    jobs: int | None = None
    sweep_retries: int | None = None
    passed_on: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds))

    @property
    def folder(self) -> Path:
        return RUNS / self.sweep

    def overrides(self) -> list[str]:
        """The command line of the sweep, for `src/train.py -m`."""
        launcher = {"jobs": self.jobs, "sweep_retries": self.sweep_retries}
        return [
            *self.options,
            f"hydra.sweeper.experiment={quoted(self.experiment_name)}",
            *(f"hydra.launcher.{key}={value}" for key, value in launcher.items() if value is not None),
            f"data={self.data}",
            *self.experiment.overrides_for_data.get(self.data, []),
            f"seed={','.join(map(str, self.seed_list))}",
            f"sweep={self.sweep}",
            *self.passed_on,
        ]


@dataclass(frozen=True)
class StatusRequest:
    """A sweep to look at. jobs: names of those that it must have; experiment: whose it is, with its seeds."""

    folder: Path
    jobs: list[str] = field(default_factory=list)
    experiment: Experiment | None = None
    seeds: list[int] = field(default_factory=list)


def read_request(arguments: list[str]) -> Request:
    """Own keys are taken; everything else is passed on. Raises UserError for values that cannot be meant."""
    options, others = _options(arguments)
    own, passed_on = split_arguments(others, OWN_KEYS)
    request = _request(own, options, any(text.startswith("hydra.searchpath=") for text in passed_on))
    request.passed_on = passed_on
    try:
        overrides = parsed(passed_on)
    except (HydraException, RecursionError):
        raise UserError(f"{' '.join(passed_on)!r:.200}: cannot be read as overrides of src/train.py") from None
    for override in overrides:
        if override.key_or_group == "seed":
            raise UserError("seed=: say how many seeds with seeds=N")
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: a table has one value for all of its runs")
    return request


def read_status_request(arguments: list[str]) -> StatusRequest | None:
    """The sweep that is asked for; None where none is named."""
    options, others = _options(arguments)
    asked = read_arguments(others, {"experiment": "", "sweep": "", "seeds": "", "data": ""})
    if asked["sweep"] and not asked["experiment"]:
        if asked["seeds"] or asked["data"]:
            raise UserError("seeds= and data=: belong to experiment=")
        folder = path(asked["sweep"])
        return StatusRequest(folder if len(folder.parts) > 1 else RUNS / folder)
    if not any(asked.values()):
        return None
    request = _request({key: value for key, value in asked.items() if value}, options)
    jobs = experiment_jobs(request.experiment.variants, request.seed_list)
    return StatusRequest(request.folder, jobs, request.experiment, request.seed_list)


def _options(arguments: list[str]) -> tuple[list[str], list[str]]:
    """--config-dir with its folder, and all other arguments. Raises UserError where that is no folder."""
    for number, word in enumerate(arguments):
        if word == "--config-dir" or word.startswith("--config-dir="):
            folder = word.partition("=")[2] or "".join(arguments[number + 1 : number + 2])
            if not folder or not path(folder).is_dir():
                raise UserError(f"--config-dir {folder}: no such folder")
            return ["--config-dir", folder], arguments[:number] + arguments[number + (1 if "=" in word else 2) :]
    return [], arguments


def _request(own: dict[str, str], options: list[str], other_folders: bool = False) -> Request:
    """other_folders: whether there may be options of data in folders that are not looked at here."""
    name, data = own.get("experiment", EXPERIMENT), own.get("data", DATA)
    experiment = load_experiment(name)
    folders = [CONF, LOCAL_CONF, *map(Path, options[1:])]
    known = sorted({file.stem for folder in folders for file in (folder / "data").glob("*.yaml")} - {"own"})
    if data not in known and not other_folders:
        raise UserError(f"data={data}: no such option; choose from {', '.join(known)}")
    stem = file_of(name).stem
    sweep = own.get("sweep") or (stem if data == DATA else f"{stem}-{data}")
    if any(c in sweep for c in "'\"/,") or sweep.startswith("."):
        raise UserError(f"sweep={sweep}: must be a plain folder name, without quotes, commas or slashes")
    return Request(
        experiment,
        name,
        sweep,
        data,
        whole_number("seeds", own.get("seeds") or str(experiment.seeds), 1, 1000),
        whole_number("jobs", own["jobs"], 1, 1000) if "jobs" in own else None,
        whole_number("sweep_retries", own["sweep_retries"], 0, 1000) if "sweep_retries" in own else None,
        options=options,
    )
