"""The values of an option that is tuned for each variant on seeds of its own."""

from __future__ import annotations

import math
from pathlib import Path

from alexnet_lab.claims.experiment import Experiment
from alexnet_lab.claims.measures import MEASURES, Evidence
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.paths import job_name


def tuned_overrides(experiment: Experiment, scale: str | None, folder: Path) -> dict[str, list[str]]:
    """The overrides of each variant that is trained, with the value that did best in the tuning runs in `folder`.

    Raises UserError where tuning runs are missing, or where none of a variant got where it should.
    """
    tuning = experiment.tuning
    if tuning is None:
        return {name: experiment.overrides_of(name, scale) for name in experiment.trained}
    found = {}
    for name in experiment.trained:
        scores = {}
        for value in tuning.values:
            override = f"{tuning.option}={value}"
            runs = [Evidence(folder / tuning_job(name, override, seed)) for seed in tuning.seeds]
            if missing := [run for run in runs if run.result is None]:
                raise UserError(
                    f"{missing[0].folder}: has no result, and {name} is tuned by it; make reproduce runs it"
                )
            scores[override] = sum(MEASURES[tuning.measure].value(run, tuning.level) for run in runs) / len(runs)
        best = min(scores, key=lambda override: scores[override])
        if math.isinf(scores[best]):
            at = "" if tuning.level is None else f" {tuning.level}"
            raise UserError(f"{name}: no value of {tuning.option} reaches {tuning.measure}{at} with every seed")
        found[name] = [*experiment.overrides_of(name, scale), best]
    return found


def tuning_job(variant: str, override: str, seed: int) -> str:
    """The folder's name of a tuning run."""
    return job_name(variant, [override, f"seed={seed}"])
