"""Names of run folders: where a command's results lie, so that the same command finds them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alexnet_lab.config import options
from alexnet_lab.core.paths import REPORTS, RUNS

SINGLE = RUNS / options.SINGLE  # runs that belong to no sweep
ENSEMBLES = RUNS / options.ENSEMBLES  # evaluations of several runs together
DEFAULT_SWEEP = "mini"  # the folder that the claims share at the scale of that name
LONGEST_NAME = 120  # file systems allow 255 bytes; W&B shows about this much
NOT_IN_NAMES = ("sweep",)
STARTED = datetime.now()  # once a process: Hydra resolves a folder's name several times


def readable(text: str) -> str:
    """Text as a folder name that neither a shell nor Hydra has to quote."""
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", text.replace("=", "-").replace("/", ".")).strip("-._")
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name or "default"


def quoted(value: str) -> str:
    """A text as the value of an override, in quotes where Hydra has to be told where it ends."""
    if re.fullmatch(r"[A-Za-z0-9_./+-]+", value):
        return value
    return "'" + value.replace("'", "\\'") + "'"


def run_dir(folder: Path) -> str:
    """The override that names a run's folder."""
    return f"hydra.run.dir={quoted(str(folder))}"


def one_run(folder: Path) -> list[str]:
    """The overrides that make a command line one run in this folder, also where an option in it asks for a sweep."""
    return ["hydra.mode=RUN", run_dir(folder)]


def job_name(variant: str, overrides: Sequence[str]) -> str:
    """The folder's name for a variant ("" for none) with these overrides: no-lrn_seed-0, model.lrn-true_seed-0."""
    kept = [text for text in overrides if text.split("=", 1)[0].lstrip("+~") not in NOT_IN_NAMES]
    # Hydra gives back "True" for "true".
    words = [re.sub("=(True|False)$", lambda found: found[0].lower(), text) for text in kept]
    return readable("_".join([variant, *words] if variant else words))


def experiment_jobs(variants: Iterable[str], seeds: Iterable[int]) -> list[str]:
    """The folders' names of an experiment's runs: every variant with every seed."""
    return [job_name(variant, [f"seed={seed}"]) for variant in variants for seed in seeds]


def reports_folder(sweep: str) -> Path:
    """Where what is made of a sweep's runs goes: into reports/ itself for the one that claims share by default."""
    return REPORTS if sweep == DEFAULT_SWEEP else REPORTS / sweep


def sweep_name(overrides: Sequence[str]) -> str:
    """The name of a sweep that was given none: the same for the same command."""
    return "sweep-" + hashlib.sha256("\n".join(sorted(overrides)).encode()).hexdigest()[:8]


def register_resolver() -> None:
    """`${run_folder:}` in conf/train.yaml: the folder of a single run.

    runs/<sweep>/<overrides> where a sweep is named, otherwise runs/single/<time>.
    """

    def run_folder(_root_: DictConfig) -> str:
        sweep: Any = OmegaConf.select(_root_, "sweep")
        if sweep is None:
            return str(SINGLE / STARTED.strftime("%Y-%m-%d_%H-%M-%S.%f")[:-3])
        return str(RUNS / str(sweep) / job_name("", list(_root_.hydra.overrides.task)))

    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
