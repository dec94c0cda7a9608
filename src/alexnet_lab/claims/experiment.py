"""An experiment: a claim of the paper as YAML in experiments/, with its variants, its rows and its rule."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.claims.measures import MEASURES
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import EXPERIMENTS, RUNS
from alexnet_lab.runs.paths import job_name

MOST_VARIANTS = 51  # base and 50 more: corrected for more comparisons, next to nothing would be resolved
SCALES = EXPERIMENTS / "scales"
SCALES_BY_DATA = {"imagenet": "paper"}  # which scale a collection belongs to; others are a laptop's
HOW = ("difference", "ratio", "value")
RULES = ("every", "any")


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

    overrides_at: further ones, by scale. paper_difference is top-1 and top-5 error of this variant minus the base's, in
    points. rival: a system that is no network, by its name in evaluation/rivals.py, trained and scored on the base's
    images. begins_with: another variant, with whose weights of the same seed its runs begin (init_from).
    """

    label: str = MISSING
    overrides: list[str] = field(default_factory=list)
    overrides_at: dict[str, list[str]] = field(default_factory=dict)
    original: Figure | None = None
    paper_difference: Figure | None = None
    rival: str | None = None
    begins_with: str | None = None


@dataclass
class Scale:
    """A claim at one scale. What is not said is the scale's own, in experiments/scales/.

    minutes: of one device, all runs and what is measured of them. overrides: of every variant, in place of the scale's.
    differs: what at this scale is not as in the paper. cannot_tell: why nothing that comes out here is evidence.
    """

    seeds: int = MISSING
    minutes: float = MISSING
    hardware: str = MISSING
    data: str | None = None
    overrides: list[str] | None = None
    differs: str = ""
    cannot_tell: str = ""


@dataclass
class Row:
    """One thing that is measured, and what the paper says of it.

    measure: a name in claims/measures.py. level: its parameter, where it has one. of, against: variants. members: how
    many runs answer together, for measures of an ensemble. how: a "difference" from `against` in the measure's unit, a
    "ratio" to it, or the "value" itself. expected: "above X", "below X", or "within X" of 0 (of 1 for a ratio, as a
    factor). contradicted: a claimed effect that is shown to be smaller than this is contradicted; None: only by the
    opposite. decides: whether the verdict rests on it; others are shown with their intervals alone.
    """

    label: str = MISSING
    measure: str = MISSING
    of: str = MISSING
    against: str | None = None
    how: str = "difference"
    level: float | None = None
    expected: str = MISSING
    contradicted: float | None = None
    paper: float | None = None
    source: str = ""
    decides: bool = True


@dataclass
class Tuning:
    """An option that is tuned for each variant, on seeds of its own, before the runs that count are made.

    The value with the lowest mean of the measure is taken; a run without one (it never got there) counts as infinite.
    """

    option: str = MISSING
    values: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    measure: str = MISSING
    level: float | None = None


@dataclass
class Experiment:
    """A claim, the variants that test it, and what it takes.

    rows: what is measured; without any there is the table of errors and no verdict. agrees: whether every deciding row
    has to agree, or any. figures: names in evaluation/figures.py. seeds and cost: of an experiment without scales.
    """

    title: str = MISSING
    claim: str = MISSING
    section: str = MISSING
    base: str = MISSING
    command: str = MISSING
    expected: str = ""
    seeds: int = 0
    cost: str = ""
    margin: Margin | None = None
    scales: dict[str, Scale] = field(default_factory=dict)
    variants: dict[str, Variant] = field(default_factory=dict)
    tuning: Tuning | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    agrees: str = "every"
    figures: list[str] = field(default_factory=list)

    def seeds_at(self, scale: str) -> int:
        """How many seeds its runs have, from 0."""
        return self.scales[scale].seeds if scale in self.scales else self.seeds

    def data_at(self, scale: str) -> str:
        """The data group of its runs."""
        own = self.scales[scale].data if scale in self.scales else None
        return own or str(scale_definition(scale)["data"])

    def common_overrides(self, scale: str, data: str) -> list[str]:
        """Overrides of each of its runs at a scale, on these data."""
        own = self.scales[scale].overrides if scale in self.scales else None
        return list(scale_definition(scale)["overrides"].get(data, []) if own is None else own)

    def overrides_of(self, variant: str, scale: str | None) -> list[str]:
        """The overrides that make a variant at a scale; None: at none in particular."""
        made = self.variants[variant]
        begins = []
        if made.begins_with is not None:
            begins = [f"init_from={RUNS}/${{sweep}}/{job_name(made.begins_with, ['seed='])}-${{seed}}"]
        return [*made.overrides, *made.overrides_at.get(scale or "", []), *begins]

    def in_order(self, variants: Iterable[str]) -> list[list[str]]:
        """Variants in groups, of which each needs the runs of those before."""
        groups: list[list[str]] = []
        left, done = list(variants), set[str | None]()
        while left:
            ready = [name for name in left if (before := self.variants[name].begins_with) in done or before not in left]
            groups.append(ready)
            done |= set(ready)
            left = [name for name in left if name not in done]
        return groups

    @property
    def trained(self) -> dict[str, Variant]:
        """The variants that are networks, which the sweep trains."""
        return {name: variant for name, variant in self.variants.items() if variant.rival is None}

    def digest(self, scale: str) -> str:
        """SHA-256 of what the verdict follows from: the rule, its rows, the variants and how many seeds.

        In a result it shows that the rule is the one that stood before the runs were made.
        """
        content: dict[str, Any] = {
            "base": self.base,
            "agrees": self.agrees,
            "seeds": self.seeds_at(scale),
            "data": self.data_at(scale),
            "overrides": self.common_overrides(scale, self.data_at(scale)),
            "cannot_tell": bool(self.scales[scale].cannot_tell) if scale in self.scales else False,
            "rows": {
                name: {key: value for key, value in asdict(row).items() if key not in ("label", "source")}
                for name, row in self.rows.items()
            },
            "variants": {
                name: [*self.overrides_of(name, scale), variant.rival] for name, variant in self.variants.items()
            },
            "tuning": asdict(self.tuning) if self.tuning else None,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def experiment_names() -> list[str]:
    """The experiments that there are, in the order of the alphabet."""
    return sorted(file.stem for file in EXPERIMENTS.glob("*.yaml"))


def claim_names() -> list[str]:
    """Those that have rows, and so a verdict."""
    return [name for name in experiment_names() if load_experiment(name).rows]


def scale_names() -> list[str]:
    """The scales that there are."""
    return sorted(file.stem for file in SCALES.glob("*.yaml"))


def scale_of(data: str | None) -> str:
    """The scale that goes with a data group, where none is named."""
    return SCALES_BY_DATA.get(data or "", "mini")


def scale_definition(name: str) -> dict[str, Any]:
    """What the claims of a scale have in common: its data group, and by data group the overrides of every run."""
    if name not in scale_names():
        raise UserError(f"scale={name}: no such scale; choose from {', '.join(scale_names())}")
    path = SCALES / f"{name}.yaml"
    found = _read(path)
    overrides = found.get("overrides") if isinstance(found, dict) else None
    if not isinstance(overrides, dict) or not isinstance(found.get("data"), str):
        raise UserError(f"{path}: needs data, a data group, and overrides, lists by data group")
    return found


def load_experiment(name: str) -> Experiment:
    """Read experiments/<name>.yaml, or another file that is named with its .yaml. Raises UserError where it is missing,
    mistyped or incomplete.
    """
    path = file_of(name)
    known = experiment_names()
    if path.suffix == ".yaml" and path.parent != EXPERIMENTS and not path.is_file():
        raise UserError(f"experiment {name}: no such file; those of experiments/ are {', '.join(known)}")
    if path.parent == EXPERIMENTS and path.stem not in known:
        raise UserError(f"experiment {name}: no such experiment; choose from {', '.join(known)}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Experiment), OmegaConf.load(path))
        experiment: Any = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, OSError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
    assert isinstance(experiment, Experiment)
    _check(path, experiment)
    return experiment


def file_of(name: str) -> Path:
    """Where an experiment is: FOLDER/NAME.yaml as it stands, a plain name in experiments/."""
    return Path(name).expanduser() if name.endswith(".yaml") else EXPERIMENTS / f"{name}.yaml"


def _read(path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, OSError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None


def _check(path: Path, experiment: Experiment) -> None:
    """Raise UserError for what is well typed and cannot be meant."""
    if experiment.base not in experiment.variants:
        raise UserError(f"{path}: base {experiment.base} is not among the variants")
    if len(experiment.variants) > MOST_VARIANTS:
        raise UserError(f"{path}: has {len(experiment.variants)} variants; {MOST_VARIANTS} are the most")
    if experiment.margin is None and not experiment.rows:
        raise UserError(f"{path}: has neither a margin, for a table of errors, nor rows, for a verdict")
    if experiment.margin is not None:
        for metric, margin in (("top1", experiment.margin.top1), ("top5", experiment.margin.top5)):
            if not 0 < margin < math.inf:
                raise UserError(f"{path}: margin.{metric}={margin}: must be a number of points above 0")
    if not experiment.scales and experiment.seeds < 1:
        raise UserError(f"{path}: seeds={experiment.seeds}: must be at least 1, or stand in scales")
    for scale, own in experiment.scales.items():
        if scale not in scale_names():
            raise UserError(f"{path}: scales.{scale}: no such scale; choose from {', '.join(scale_names())}")
        if own.seeds < 1 or not own.minutes > 0:
            raise UserError(f"{path}: scales.{scale}: needs seeds of at least 1 and minutes above 0")
    for name, variant in experiment.variants.items():
        before, seen = variant.begins_with, {name}
        while before is not None:
            if before in seen or before not in experiment.trained:
                raise UserError(f"{path}: variants.{name}.begins_with={before}: must be another that is trained")
            seen.add(before)
            before = experiment.variants[before].begins_with
        if unknown := [scale for scale in variant.overrides_at if scale not in scale_names()]:
            raise UserError(f"{path}: variants.{name}.overrides_at.{unknown[0]}: no such scale")
    if experiment.agrees not in RULES:
        raise UserError(f"{path}: agrees={experiment.agrees}: must be one of {', '.join(RULES)}")
    if experiment.rows and not any(row.decides for row in experiment.rows.values()):
        raise UserError(f"{path}: has no row that decides")
    for name, row in experiment.rows.items():
        _check_row(f"{path}: rows.{name}", row, experiment)
    if (tuning := experiment.tuning) is not None:
        if len(tuning.values) < 2 or not tuning.seeds:
            raise UserError(f"{path}: tuning: needs at least two values and one seed")
        _check_measure(f"{path}: tuning", tuning.measure, tuning.level)
        most = max((own.seeds for own in experiment.scales.values()), default=experiment.seeds)
        if min(tuning.seeds) < most:
            raise UserError(f"{path}: tuning.seeds={tuning.seeds}: must be other seeds than 0 to {most - 1}")


def _check_row(place: str, row: Row, experiment: Experiment) -> None:
    for variant in (row.of, row.against):
        if variant is not None and variant not in experiment.variants:
            raise UserError(f"{place}: {variant} is not among the variants")
    if row.how not in HOW:
        raise UserError(f"{place}.how={row.how}: must be one of {', '.join(HOW)}")
    if (row.against is None) != (row.how == "value"):
        raise UserError(f"{place}: how=value has no variant to stand against, and the others need one")
    _check_measure(place, row.measure, row.level)
    word, _, number = row.expected.partition(" ")
    if word not in ("above", "below", "within") or not re.fullmatch(r"-?\d+(\.\d+)?", number):
        raise UserError(f"{place}.expected={row.expected}: must be above X, below X or within X")
    if row.how == "ratio" and not float(number) > (1 if word == "within" else 0):
        raise UserError(f"{place}.expected={row.expected}: a ratio is above 0, and within a factor above 1")
    if word == "within" and not float(number) > 0:
        raise UserError(f"{place}.expected={row.expected}: must be within more than 0")
    if row.contradicted is not None and (word == "within" or not row.contradicted > (row.how == "ratio")):
        raise UserError(f"{place}.contradicted={row.contradicted}: is for above and below, and larger than no effect")


def _check_measure(place: str, name: str, level: float | None) -> None:
    if name not in MEASURES:
        raise UserError(f"{place}.measure={name}: must be one of {', '.join(MEASURES)}")
    if MEASURES[name].has_level != (level is not None):
        raise UserError(f"{place}: the measure {name} {'needs a' if MEASURES[name].has_level else 'has no'} level")
