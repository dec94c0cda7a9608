"""What `src/reproduce.py` is asked for on its command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from hydra.core.override_parser.overrides_parser import OverridesParser

from alexnet_lab.errors import UserError
from alexnet_lab.experiments.experiment import Experiment, load_experiment

OWN_KEYS = ("experiment", "seeds", "jobs", "sweep", "data")


@dataclass
class Request:
    """experiment: a file of experiments/; seeds: how many, from 0; jobs: at the same time, None for automatic.

    passed_on: overrides for every run, of which none is a sweep.
    """

    experiment: str = "ablations"
    seeds: int = 0
    jobs: int | None = None
    sweep: str = ""
    data: str = "fractals"
    passed_on: list[str] = field(default_factory=list)

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds))

    def overrides(self, experiment: Experiment) -> list[str]:
        """The command line of the sweep, for `src/train.py -m`."""
        jobs = [] if self.jobs is None else [f"hydra.launcher.jobs={self.jobs}"]
        return [
            f"hydra.sweeper.experiment={self.experiment}",
            *jobs,
            f"data={self.data}",
            *experiment.overrides_for_data.get(self.data, []),
            f"seed={','.join(map(str, self.seed_list))}",
            f"sweep={self.sweep}",
            *self.passed_on,
        ]


def read_request(arguments: list[str]) -> Request:
    """Own keys are taken; everything else is passed on. Raises UserError for values that cannot be meant."""
    own: dict[str, str] = {}
    passed_on = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals and not argument.startswith("+"):
            raise UserError(f"{argument}: cannot be read as key=value")
        if key in OWN_KEYS:
            own[key] = value
        else:
            passed_on.append(argument)
    request = Request(passed_on=passed_on)
    request.experiment = own.get("experiment", request.experiment)
    request.data = own.get("data", request.data)
    request.seeds = _whole("seeds", own.get("seeds") or str(load_experiment(request.experiment).seeds))
    request.jobs = _whole("jobs", own["jobs"]) if own.get("jobs") else None
    scale = "" if request.data == "fractals" else f"-{request.data}"
    request.sweep = own.get("sweep") or request.experiment + scale
    if any(c in request.sweep for c in "'\"/,") or request.sweep.startswith("."):
        raise UserError(f"sweep={request.sweep}: must be a plain folder name, without quotes, commas or slashes")
    for override in OverridesParser.create().parse_overrides(passed_on):
        if override.key_or_group == "seed":
            raise UserError("seed=: say how many seeds with seeds=N")
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: a table has one value for all of its runs")
    return request


def _whole(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1000:
        raise UserError(f"{key}={text}: must be a whole number from 1 to 1000")
    return int(text)
