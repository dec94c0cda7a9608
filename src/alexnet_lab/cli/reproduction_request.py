"""What `src/reproduce.py` is asked for on its command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hydra.errors import HydraException

from alexnet_lab.claims.experiment import (
    Experiment,
    claim_names,
    file_of,
    load_experiment,
    scale_definition,
    scale_names,
    scale_of,
)
from alexnet_lab.cli.arguments import path, read_arguments, split_arguments, whole_number
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.hydra_compat import parsed
from alexnet_lab.core.paths import CONF, EXPERIMENTS, LOCAL_CONF, RUNS
from alexnet_lab.runs.paths import experiment_jobs, quoted, reports_folder

OWN_KEYS = ("experiment", "scale", "seeds", "minutes", "jobs", "sweep", "sweep_retries", "data")
EXPERIMENT = "ablations"
ALL = "all"  # every experiment with a verdict
AUTO = "auto"
FIRST_SEEDS = 3  # with which seeds=auto learns how much seeds differ
MINUTES = 20  # what seeds=auto may take, where nothing else is said


@dataclass
class Request:
    """A sweep of an experiment, of experiments/ or of one's own.

    options: of Hydra, what the sweep is composed from besides.
    sweep: the folder in runs/ that claims of one scale and collection share, so that a run which several need is made
    once. seeds: how many, from 0; auto: as many as the paper's effects need, in so many minutes. jobs: at the same
    time, None for automatic; sweep_retries: None for the launcher's own. passed_on: overrides for every run, of which
    none is a sweep.
    """

    experiment: Experiment
    experiment_name: str
    scale: str
    sweep: str
    data: str
    seeds: int
    auto: bool = False
    minutes: int = MINUTES
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

    @property
    def reports(self) -> Path:
        """Where the table and the figures of this experiment go."""
        return reports_folder(self.sweep) / file_of(self.experiment_name).stem

    def overrides(self) -> list[str]:
        """The command line of the sweep, for `src/train.py -m`."""
        return [*self.options, *self._common(), f"seed={','.join(map(str, self.seed_list))}", *self.passed_on]

    def tuning_overrides(self) -> list[str]:
        """The command line of the sweep by which an option is tuned."""
        tuning = self.experiment.tuning
        assert tuning is not None
        values = ",".join(map(str, tuning.values))
        return [
            *self.options,
            *self._common(),
            *self.passed_on,
            f"{tuning.option}={values}",
            f"seed={','.join(map(str, tuning.seeds))}",
        ]

    def _common(self) -> list[str]:
        launcher = {"jobs": self.jobs, "sweep_retries": self.sweep_retries}
        return [
            f"hydra.sweeper.experiment={quoted(self.experiment_name)}",
            f"hydra.sweeper.scale={self.scale}",
            *(f"hydra.launcher.{key}={value}" for key, value in launcher.items() if value is not None),
            f"data={self.data}",
            *self.experiment.common_overrides(self.scale, self.data),
            f"sweep={self.sweep}",
        ]


@dataclass(frozen=True)
class StatusRequest:
    """A sweep to look at. jobs: names of those that it must have; experiment: whose it is, with its seeds."""

    folder: Path
    jobs: list[str] = field(default_factory=list)
    experiment: Experiment | None = None
    seeds: list[int] = field(default_factory=list)


def read_requests(arguments: list[str]) -> list[Request]:
    """What is asked for: one experiment, or with experiment=all each that has a verdict, the cheapest first.

    Own keys are taken; everything else is passed on. Raises UserError for values that cannot be meant.
    """
    options, others = _options(arguments)
    own, passed_on = split_arguments(others, OWN_KEYS)
    _check_passed_on(passed_on)
    if own.get("experiment") != ALL:
        request = _request(own, options, any(text.startswith("hydra.searchpath=") for text in passed_on))
        request.passed_on = passed_on
        return [request]
    requests = []
    for name in claim_names():
        experiment = load_experiment(name)
        asked = own | {"experiment": name}
        scale = asked.setdefault("scale", scale_of(own.get("data")))
        if experiment.scales and scale not in experiment.scales and scale in scale_names():
            continue
        is_elsewhere = experiment.data_at(scale) != scale_definition(scale)["data"]
        if is_elsewhere:
            asked.pop("data", None)  # such as CIFAR-10 among claims about ImageNet
            asked["sweep"] = own.get("sweep") or _sweep(scale, scale, own.get("data"))
        request = _request(asked, options)
        request.passed_on = [text for text in passed_on if not (is_elsewhere and text.startswith("data."))]
        requests.append(request)
    return sorted(requests, key=lambda request: (minutes_of(request), request.experiment_name))


def minutes_of(request: Request) -> float:
    """How long a claim takes on one device by its YAML, everything made anew."""
    own = request.experiment.scales.get(request.scale)
    return own.minutes * request.seeds / own.seeds if own else 0.0


def read_status_request(arguments: list[str]) -> StatusRequest | None:
    """The sweep that is asked for; None where none is named."""
    options, others = _options(arguments)
    asked = read_arguments(others, {"experiment": "", "scale": "", "sweep": "", "seeds": "", "data": ""})
    if asked["sweep"] and not asked["experiment"]:
        if asked["seeds"] or asked["data"] or asked["scale"]:
            raise UserError("seeds=, scale= and data=: belong to experiment=")
        folder = path(asked["sweep"])
        return StatusRequest(folder if len(folder.parts) > 1 else RUNS / folder)
    if not any(asked.values()):
        return None
    request = _request({key: value for key, value in asked.items() if value}, options)
    jobs = experiment_jobs(request.experiment.trained, request.seed_list)
    return StatusRequest(request.folder, jobs, request.experiment, request.seed_list)


def _check_passed_on(passed_on: list[str]) -> None:
    try:
        overrides = parsed(passed_on)
    except (HydraException, RecursionError):
        raise UserError(f"{' '.join(passed_on)!r:.200}: cannot be read as overrides of src/train.py") from None
    for override in overrides:
        if override.key_or_group == "seed":
            raise UserError("seed=: say how many seeds with seeds=N")
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: a table has one value for all of its runs")


def _sweep(name: str, scale: str, data: str | None) -> str:
    """The folder in runs/ that claims share at a scale, on these data; None: on the scale's own."""
    return name if data in (None, scale_definition(scale)["data"]) else f"{name}-{data}"


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
    name = own.get("experiment", EXPERIMENT)
    experiment = load_experiment(name)
    folders = [CONF, LOCAL_CONF, *map(Path, options[1:])]
    known = sorted({file.stem for folder in folders for file in (folder / "data").glob("*.yaml")} - {"own"})
    if "data" in own and own["data"] not in known and not other_folders:
        raise UserError(f"data={own['data']}: no such option; choose from {', '.join(known)}")
    scale = own.get("scale") or scale_of(own.get("data"))
    scale_definition(scale)
    if experiment.scales and scale not in experiment.scales:
        raise UserError(f"scale={scale}: experiment {name} has {', '.join(experiment.scales)}")
    data = own.get("data") or experiment.data_at(scale)
    other = None if data == experiment.data_at(scale) else data
    # One's own file shares no runs: its variants may have the names of others.
    shared = file_of(name).parent == EXPERIMENTS
    sweep = own.get("sweep") or _sweep(scale if shared else file_of(name).stem, scale, other)
    if any(c in sweep for c in "'\"/,") or sweep.startswith("."):
        raise UserError(f"sweep={sweep}: must be a plain folder name, without quotes, commas or slashes")
    auto = own.get("seeds") == AUTO
    if "minutes" in own and not auto:
        raise UserError("minutes=: is the budget of seeds=auto")
    seeds = FIRST_SEEDS if auto else whole_number("seeds", own.get("seeds") or str(experiment.seeds_at(scale)), 1, 1000)
    if auto and not experiment.rows:
        raise UserError(f"seeds=auto: experiment {name} has no rows, whose effects would say how many")
    return Request(
        experiment,
        name,
        scale,
        sweep,
        data,
        seeds,
        auto,
        whole_number("minutes", own.get("minutes") or str(MINUTES), 1, 1_000_000),
        whole_number("jobs", own["jobs"], 1, 1000) if "jobs" in own else None,
        whole_number("sweep_retries", own["sweep_retries"], 0, 1000) if "sweep_retries" in own else None,
        options=options,
    )
