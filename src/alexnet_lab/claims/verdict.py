"""The verdict on a claim: its rows' means and intervals, judged by the rule that stands in its YAML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_lab.claims.experiment import Experiment, Row
from alexnet_lab.claims.measures import MEASURES, Evidence, together_name
from alexnet_lab.claims.statistics import (
    LEVEL,
    Expectation,
    Judged,
    Judgement,
    Mean,
    about,
    judge,
    mean_over_images,
    mean_over_seeds,
    mean_over_seeds_and_images,
    seeds_for,
)
from alexnet_lab.config.image_sources import GREY
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.paths import job_name


@dataclass(frozen=True)
class RowVerdict:
    """A row with what was found. mean: on a logarithmic scale for ratios; None where runs are missing.

    at_least: a run did not get to the level within its epochs, which then stand for it, so that the ratio is at least
    what is said. judged: None for rows that do not decide.
    """

    name: str
    row: Row
    mean: Mean | None
    judged: Judged | None
    at_least: bool = False
    never: str = ""  # which variant never got to the level that it is compared at

    def on_scale(self, value: float | None) -> float | None:
        """A value of the mean's scale as people read it: a ratio, points, or the measure's unit."""
        return value if value is None or self.row.how != "ratio" else math.exp(value)


@dataclass(frozen=True)
class ClaimVerdict:
    """What can be said of a claim at a scale. reason: why no more can, or in what this scale is not the paper's."""

    name: str
    experiment: Experiment
    scale: str
    seeds: int
    judgement: Judgement
    reason: str
    rows: list[RowVerdict]
    digest: str


def verdict_on(
    name: str, experiment: Experiment, scale: str, folder: Path, seeds: Sequence[int], data: str | None = None
) -> ClaimVerdict:
    """The verdict from the run folders in `folder`. Raises UserError where one is damaged.

    data: the data group of the runs; None for the scale's own.
    """
    means = {key: _row_mean(row, folder, seeds) for key, row in experiment.rows.items()}
    deciding = {key: row for key, row in experiment.rows.items() if row.decides}
    judged = judge({key: (means[key][0], expectation(row)) for key, row in deciding.items()}, len(deciding))
    rows = [
        RowVerdict(key, row, means[key][0], judged.get(key), *means[key][1:]) for key, row in experiment.rows.items()
    ]
    found = _together([judged[key].judgement for key in deciding], experiment.agrees)
    own = experiment.scales.get(scale)
    reason = ""
    elsewhere = data not in (None, experiment.data_at(scale))
    of_colour = any(MEASURES[row.measure].of_colour for row in deciding.values())
    if own is not None and own.cannot_tell and found is not Judgement.INCOMPLETE:
        found, reason = Judgement.CANNOT_TELL, own.cannot_tell
    elif of_colour and data in GREY and found is not Judgement.INCOMPLETE:
        found, reason = Judgement.CANNOT_TELL, f"{data} has no colour"
    elif elsewhere and found in (Judgement.AGREES, Judgement.CONTRADICTS):
        reason = f"the network of scale {scale}, on {data}"
    elif found is Judgement.CANNOT_TELL:
        reason = _what_would_tell(rows, len(deciding))
    elif found is not Judgement.INCOMPLETE and own is not None:
        reason = own.differs
    return ClaimVerdict(name, experiment, scale, len(seeds), found, reason, rows, experiment.digest(scale))


def expectation(row: Row) -> Expectation:
    """What a row expects, on the scale of its mean."""
    word, _, number = row.expected.partition(" ")
    value, nearest = float(number), row.contradicted
    if row.how == "ratio":
        return Expectation(word, math.log(value), None if nearest is None else math.log(nearest))
    return Expectation(word, value, nearest)


def rule_in_words(experiment: Experiment) -> str:
    """The rule of a claim in a sentence."""
    deciding = [name for name, row in experiment.rows.items() if row.decides]
    if len(deciding) == 1:
        return f"Agrees or contradicts as its row ({deciding[0]}) does, at {100 * LEVEL:.0f} %; else it cannot be told."
    return (
        f"Agrees where {experiment.agrees} of its rows ({', '.join(deciding)}) does, contradicts where "
        f"{'one' if experiment.agrees == 'every' else 'each'} does, at {100 * LEVEL:.0f} % for all of them together "
        "(Holm); else it cannot be told."
    )


def _together(found: Sequence[Judgement], agrees: str) -> Judgement:
    if Judgement.INCOMPLETE in found:
        return Judgement.INCOMPLETE
    agree, contradict = ([one is judgement for one in found] for judgement in (Judgement.AGREES, Judgement.CONTRADICTS))
    if agrees == "every":
        if any(contradict):
            return Judgement.CONTRADICTS
        return Judgement.AGREES if all(agree) else Judgement.CANNOT_TELL
    if any(agree):
        return Judgement.AGREES
    return Judgement.CONTRADICTS if all(contradict) else Judgement.CANNOT_TELL


def _row_mean(row: Row, folder: Path, seeds: Sequence[int]) -> tuple[Mean | None, bool, str]:
    """(mean, whether it is at least that, which variant never got there); no mean where runs are missing."""
    measure = MEASURES[row.measure]
    variants = [row.of] if row.against is None else [row.of, row.against]
    evidence = {
        variant: [Evidence(folder / job_name(variant, [f"seed={seed}"])) for seed in seeds] for variant in variants
    }
    for runs in evidence.values():
        if any(not _is_complete(run, measure.needs) for run in runs):
            return None, False, ""
    if measure.together:
        return _of_ensemble(row, evidence[row.of], seeds), False, ""
    if measure.per_image is not None and row.how != "ratio":
        per_image = measure.per_image
        values = {variant: np.stack([per_image(run) for run in runs]) for variant, runs in evidence.items()}
        _check_same_images(evidence, measure.needs[0])
        difference = values[row.of] - (values[row.against] if row.against else 0.0)
        return mean_over_seeds_and_images(difference), False, ""
    numbers = {variant: [measure.value(run, row.level) for run in runs] for variant, runs in evidence.items()}
    at_least = False
    if any(map(math.isinf, numbers[row.of])):
        at_least = True
        numbers[row.of] = [
            value if math.isfinite(value) else float(run.finished()["epochs"])
            for value, run in zip(numbers[row.of], evidence[row.of], strict=True)
        ]
    if row.against is None:
        return mean_over_seeds(numbers[row.of]), at_least, ""
    if any(map(math.isinf, numbers[row.against])):
        return Mean(math.nan, len(seeds), "none"), False, row.against
    pairs = list(zip(numbers[row.of], numbers[row.against], strict=True))
    if row.how == "ratio":
        if min(map(min, pairs)) <= 0:
            return Mean(math.nan, len(seeds), "none"), False, row.of
        return mean_over_seeds([math.log(own / base) for own, base in pairs]), at_least, ""
    return mean_over_seeds([own - base for own, base in pairs]), at_least, ""


def _is_complete(run: Evidence, needs: Sequence[str]) -> bool:
    """Whether the run has ended and what the measure needs was measured. A rival has no result of training."""
    from alexnet_lab.runs.measured import measured_file

    measured = all(any(measured_file(run.folder, what, kind).exists() for kind in ("npz", "json")) for what in needs)
    return measured and (bool(needs) or run.result is not None)


def _of_ensemble(row: Row, runs: Sequence[Evidence], seeds: Sequence[int]) -> Mean | None:
    """Error of the runs together minus the mean of theirs, over images."""
    from alexnet_lab.runs.measured import read_answers

    first = 5 if "top5" in row.measure else 1
    needs = MEASURES[row.measure].needs[0]
    together = read_answers(runs[0].folder, together_name(needs, seeds))
    if together is None:
        return None
    alone = np.stack([run.answers(needs).wrong(first) for run in runs]).mean(0)
    return mean_over_images(together.wrong(first) - alone, len(seeds))


def _check_same_images(evidence: dict[str, list[Evidence]], what: str) -> None:
    """Raise UserError where two runs were asked about other images: nothing can be paired then."""
    runs = [run for own in evidence.values() for run in own]
    first = runs[0].answers(what)
    for run in runs[1:]:
        answers = run.answers(what)
        if answers.images != first.images or not np.array_equal(answers.labels, first.labels):
            raise UserError(
                f"{run.folder}: was asked about other images than {runs[0].folder}; remove one and run again"
            )


def _what_would_tell(rows: Sequence[RowVerdict], comparisons: int) -> str:
    """Why no row, or not each, shows anything, and what would."""
    said = []
    for row in rows:
        if row.judged is None or row.judged.judgement is not Judgement.CANNOT_TELL:
            continue
        said.append(f"{row.row.label}: {_what_would_tell_row(row, comparisons)}")
    return "; ".join(said)


def _what_would_tell_row(row: RowVerdict, comparisons: int) -> str:
    if row.never:
        return f"{row.row.label if row.never == row.row.of else row.never} never got to {row.row.level}; more epochs"
    mean = row.mean
    assert mean is not None
    if mean.standard_error is None:
        return "one seed has no interval" if mean.n == 1 else f"{mean.n} equal values have no interval"
    expected = expectation(row.row)
    paper, whose = _paper_effect(row, expected), "the paper's"
    effect = paper
    if effect is None:
        effect, whose = mean.mean - expected.value, "one as large as here"
    if expected.word == "within":
        effect, whose = expected.value - abs(mean.mean), "that it lies within"
        if effect <= 0:
            return "it lies at the edge; more seeds may tell"
    needed = seeds_for(mean, effect, comparisons)
    if needed is None:
        return f"no number of seeds would show {whose}; more validation images would"
    if needed <= mean.n:
        return f"{whose} would likely have shown with these {mean.n} seeds"
    return f"about {about(needed)} seeds would show {whose}"


def _paper_effect(row: RowVerdict, expected: Expectation) -> float | None:
    """The paper's figure as a distance from what is tested; None where it has none, or none in this unit."""
    if row.row.paper is None or expected.word == "within":
        return None
    paper = math.log(row.row.paper) if row.row.how == "ratio" else row.row.paper
    return paper - expected.value
