"""From a sweep's command line, and perhaps an experiment's variants, to jobs with folders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.hydra_compat import Override, number_of_values
from alexnet_lab.core.paths import RUNS
from alexnet_lab.data.images_at_hand import at_hand
from alexnet_lab.runs.config_snapshot import read_configuration, refuse_other_settings
from alexnet_lab.runs.paths import job_name, quoted, sweep_name
from alexnet_lab.runs.same_images import result_of_same_run
from alexnet_lab.sweeps.job_process import Job

MOST_JOBS = 10_000


@dataclass(frozen=True)
class Plan:
    folder: Path
    jobs: list[Job]
    seeds: list[int]  # of them all, in rising order


def plan_sweep(
    product: Sequence[Sequence[str]],
    variants: Mapping[str, list[str]],
    sweep: str | None,
    compose: Callable[[list[str], int], DictConfig],
    check: Callable[[DictConfig], RunConfig],
    whole: bool = False,
) -> Plan:
    """Name, compose and check every job of a sweep, once: what runs it composes the same overrides.

    product: the overrides of each combination that the command line asks for. variants: what they are multiplied
    with, overrides by name; empty for none. sweep: its name, None for one made of the overrides. compose: from
    overrides and the job's number to the whole configuration; check: the checked configuration of a job, from its
    composed one. whole: a table is made of the jobs, so that none may see a part of the data alone.
    Raises UserError, naming the job, for the first that cannot work, for two jobs of one name, and where a folder
    holds a run that was made with other settings.
    """
    jobs, seeds = name_jobs(product, variants, sweep), set()
    folder, folders, ids = jobs[0].folder.parent, dict[Path, str](), dict[str, str]()
    for number, job in enumerate(jobs):
        config = compose(job.overrides, number)
        folder = _place(job, config)
        if folders.setdefault(job.folder, job.name) != job.name:
            raise UserError(
                f"hydra.sweep.subdir={config.hydra.sweep.subdir}: gives {folders[job.folder]} and {job.name} one "
                "folder; put ${hydra.job.override_dirname} into it"
            )
        if job.folder.is_symlink():  # nobody has named it: it came with the sweep's folder
            raise UserError(f"{job.folder}: is a symbolic link, through which nothing is written; remove it")
        run = check(config)
        if whole and (limits := run.trainer.limits()):
            raise UserError(
                f"{limits[0]}: lets a run see a part of the data alone, and a table is made of whole runs; drop it, or "
                "try it with python src/train.py"
            )
        if (wandb_id := run.logger.wandb.id) is not None and ids.setdefault(wandb_id, job.name) != job.name:
            raise UserError(
                f"logger.wandb.id={wandb_id}: would make one run of {ids[wandb_id]} and {job.name}; drop it, "
                "each gets an id of its own"
            )
        seeds.add(run.seed)
        job.devices, job.uses_gpus = run.trainer.devices, run.trainer.accelerator != "cpu"
        job.result = check_same_run(job.folder, run)
    return Plan(folder, jobs, sorted(seeds))


def _place(job: Job, config: DictConfig) -> Path:
    """Give a job the folder that hydra.sweep.dir and hydra.sweep.subdir name, where they do. Returns the sweep's."""
    chosen = config.hydra.sweep
    folder = Path(str(chosen.dir)) if chosen.dir else job.folder.parent
    job.folder = folder / (str(chosen.subdir) if chosen.subdir else job.name)
    return folder


def check_size(overrides: Sequence[Override]) -> None:
    """Raise UserError where the values of a sweep make more jobs than anybody means, before they are listed."""
    jobs = 1
    for override in overrides:
        values = number_of_values(override)
        if values == math.inf:
            raise UserError(f"{override.input_line}: has no end")
        jobs *= int(values)
        if not 0 < jobs <= MOST_JOBS:
            raise UserError(f"{override.input_line}: makes {jobs} jobs; a sweep has from 1 to {MOST_JOBS}")


def name_jobs(product: Sequence[Sequence[str]], variants: Mapping[str, list[str]], sweep: str | None) -> list[Job]:
    """The jobs of a sweep with the names of their folders. Raises UserError for two jobs of one name."""
    if not product:
        raise UserError("the sweep has no job: some glob() matches nothing")
    swept = _swept(product)
    if any(text.startswith("sweep=") for text in swept):
        raise UserError("sweep=: names one sweep; give several values to other keys")
    if sweep is None:
        sweep = sweep_name([text for line in product for text in line])
    jobs: dict[str, Job] = {}
    for variant, own in (variants or {"": []}).items():
        for line in product:
            # An experiment's runs always carry their seed, so that more seeds later find the first ones.
            varying = [text for text in line if text in swept or (variant and text.startswith("seed="))]
            name = job_name(variant, varying if variant or varying else line)
            if name in jobs:
                raise UserError(
                    f"{name}: two jobs of this sweep have the same name; does it sweep over the same value twice?"
                )
            named = [text for text in line if not text.startswith("sweep=")]
            # What makes a variant comes last: no override may turn its row into another's.
            jobs[name] = Job(name, RUNS / sweep / name, [*named, *own, f"sweep={quoted(sweep)}"])
    return list(jobs.values())


def check_same_run(folder: Path, run: RunConfig) -> dict[str, Any] | None:
    """The folder's result, None where it has none.

    Raises UserError where it holds a run that was made with other settings, or a complete one that was trained on
    other images than are prepared now. (Of an interrupted one the job itself finds out.)
    """
    result = result_of_same_run(folder, run, lambda: at_hand(run.data))
    if result is None and (begun := read_configuration(folder)) is not None:
        refuse_other_settings(folder, begun, run, complete=False)
    return result


def _swept(product: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that some jobs have and others do not."""
    everywhere = set(product[0]).intersection(*map(set, product))
    return {text for line in product for text in line} - everywhere
