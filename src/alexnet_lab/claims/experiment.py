"""An experiment: a claim of the paper as YAML in experiments/, with its variants and the paper's figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import EXPERIMENTS

MOST_VARIANTS = 51  # base and 50 more: corrected for more comparisons, next to nothing would be resolved


@dataclass
class Figure:
    """A measured error as somebody published it, in percent."""

    top1: float | None = None
    top5: float | None = None
    source: str = MISSING


@dataclass
class Margin:
    """A difference below this many points of error is none to speak of; above 0, chosen before the runs are made."""

    top1: float = MISSING
    top5: float = MISSING


@dataclass
class Variant:
    """One row: the overrides that make it, and what the paper and the original program say about it.

    paper_difference is top-1 and top-5 error of this variant minus the base's, in points.
    """

    label: str = MISSING
    overrides: list[str] = field(default_factory=list)
    original: Figure | None = None
    paper_difference: Figure | None = None


@dataclass
class Experiment:
    """A claim, the variants that test it, and what it takes."""

    title: str = MISSING
    claim: str = MISSING
    section: str = MISSING
    base: str = MISSING
    seeds: int = MISSING
    cost: str = MISSING
    command: str = MISSING
    margin: Margin = field(default_factory=Margin)
    overrides_for_data: dict[str, list[str]] = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)


def load_experiment(name: str) -> Experiment:
    """Read experiments/<name>.yaml, or another file that is named with its .yaml. Raises UserError where it is missing,
    mistyped or incomplete.
    """
    path = file_of(name)
    known = sorted(file.stem for file in EXPERIMENTS.glob("*.yaml"))
    if path.suffix == ".yaml" and path.parent != EXPERIMENTS and not path.is_file():
        raise UserError(f"experiment {name}: no such file; those of experiments/ are {', '.join(known)}")
    if path.parent == EXPERIMENTS and path.stem not in known:
        raise UserError(f"experiment {name}: no such experiment; choose from {', '.join(known)}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Experiment), OmegaConf.load(path))
        experiment: Any = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, OSError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
    if experiment.base not in experiment.variants:
        raise UserError(f"{path}: base {experiment.base} is not among the variants")
    if len(experiment.variants) > MOST_VARIANTS:
        raise UserError(f"{path}: has {len(experiment.variants)} variants; {MOST_VARIANTS} are the most")
    for metric, margin in (("top1", experiment.margin.top1), ("top5", experiment.margin.top5)):
        if not 0 < margin < math.inf:
            raise UserError(f"{path}: margin.{metric}={margin}: must be a number of points above 0")
    assert isinstance(experiment, Experiment)
    return experiment


def file_of(name: str) -> Path:
    """Where an experiment is: FOLDER/NAME.yaml as it stands, a plain name in experiments/."""
    return Path(name).expanduser() if name.endswith(".yaml") else EXPERIMENTS / f"{name}.yaml"
