"""From a sweep's command line, and perhaps an experiment's variants, to jobs with folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from alexnet_lab.door import check_job
from alexnet_lab.errors import UserError
from alexnet_lab.experiments.experiment import load_experiment
from alexnet_lab.experiments.run_folders import RUNS, job_name, sweep_name
from alexnet_lab.training.result import configuration, read_result

# Settings that change where or how visibly a run computes, not what it computes.
NOT_PART_OF_A_RESULT = (
    "sweep",
    "logger",
    "trainer.progress_bar",
    "trainer.log_every_n_steps",
    "data.store_root",
)


@dataclass(frozen=True)
class PlannedJob:
    name: str
    overrides: list[str]  # its sweep, and hydra.sweep.subdir, included


@dataclass(frozen=True)
class Plan:
    folder: Path
    jobs: list[PlannedJob]


def plan_sweep(
    product: Sequence[Sequence[str]], experiment: str | None, compose: Callable[[list[str]], DictConfig]
) -> Plan:
    """Name, compose and check every job of a sweep.

    product: the overrides of each combination that the command line asks for. compose: from overrides to
    the whole configuration. Raises UserError, naming the job, for the first that cannot work, for two
    jobs of one name, and where a folder holds a result that was made with other settings.
    """
    variants: dict[str, list[str]] = {"": []}
    if experiment is not None:
        variants = {name: variant.overrides for name, variant in load_experiment(experiment).variants.items()}
    combinations = [(name, own, list(line)) for name, own in variants.items() for line in product]
    swept = _swept(product)
    if any(text.startswith("sweep=") for text in swept):
        raise UserError("sweep=: names one sweep; give several values to other keys")
    sweep = next((text.split("=", 1)[1] for text in product[0] if text.startswith("sweep=")), None)
    if sweep is None:
        sweep = experiment or sweep_name([text for line in product for text in line])
    jobs: list[PlannedJob] = []
    for variant, own, line in combinations:
        # An experiment's runs always carry their seed, so that more seeds later find the first ones.
        varying = [text for text in line if text in swept or (variant and text.startswith("seed="))]
        name = job_name(variant, varying if variant or varying else line)
        named = [text for text in line if not text.startswith("sweep=")]
        # What makes a variant comes last: no override may turn its row into another's.
        jobs.append(PlannedJob(name, [*named, *own, f"sweep={sweep}", f"hydra.sweep.subdir={name}"]))
    folder = RUNS / sweep.strip("'\"")
    seen: set[str] = set()
    for job in jobs:
        if job.name in seen:
            raise UserError(
                f"{job.name}: two jobs of this sweep have the same name; does it sweep over the same value twice?"
            )
        seen.add(job.name)
        run = check_job(compose(job.overrides))
        result = read_result(folder / job.name)
        if result is not None and (difference := _difference(result["config"], configuration(run))):
            raise UserError(
                f"{folder / job.name}: was made with {difference}; choose another sweep=NAME, or remove that folder"
            )
    return Plan(folder, jobs)


def _swept(product: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that some jobs have and others do not."""
    everywhere = set(product[0]).intersection(*map(set, product))
    return {text for line in product for text in line} - everywhere


def _difference(old: dict[str, object], new: dict[str, object], prefix: str = "") -> str | None:
    """The first setting in which two configurations differ, as "key=old, not new"; None where they agree."""
    for key in sorted({*old, *new}):
        path = prefix + key
        if path in NOT_PART_OF_A_RESULT:
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            if inner := _difference(before, after, path + "."):
                return inner
        elif before != after:
            return f"{path}={before}, not {after}"
    return None
