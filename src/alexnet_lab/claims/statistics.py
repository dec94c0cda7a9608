"""Means with intervals, differences paired by seed and by image, and what can be said of them.

docs/statistics.md says why each rule is as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
LEVEL = 0.05  # of a whole table, for each kind of claim
POWER = 0.8
# Points. Errors come in single precision, so differences that are equal may differ by 1.2e-5; one image in a million
# is 1e-4.
EQUAL = 2e-5
SOLVED = 1e-3  # how near to POWER a solution must come
RESAMPLES = 2000  # of a bootstrap; more move its ends by less than a tenth of a standard error


class Verdict(StrEnum):
    """What a difference from the base says."""

    WORSE = "worse"
    BETTER = "better"
    NO_DIFFERENCE = "no difference"  # larger than the margin
    NOT_RESOLVED = "not resolved"
    SO_FAR = "so far"  # not tested before all of its runs are complete


@dataclass(frozen=True)
class Estimate:
    """A mean of n values, their standard deviation and half the width of the mean's 95 % interval.

    The latter two are None where the values give no interval: a single one, or n equal ones.
    """

    mean: float
    n: int
    sd: float | None = None
    half_width: float | None = None


@dataclass(frozen=True)
class Difference:
    """A row's error minus the base's, in points, over the seeds that both have.

    p: two-sided, of no difference. p_corrected: Holm's over the table. p_equivalence: of a difference as large as
    margin or larger (two one-sided tests), Holm's over the table. None where the differences give no interval.
    effect: what the paper states for this row, in points; level: what a single row is certain to be tested at.
    """

    estimate: Estimate | None  # None where no seed is shared
    p: float | None
    p_corrected: float | None
    p_equivalence: float | None
    verdict: Verdict
    margin: float
    effect: float | None
    level: float

    @cached_property
    def seeds_needed(self) -> int | None:
        """Seeds that resolve the paper's effect with 80 % power; None where effect or spread are unknown."""
        if self.estimate is None or self.estimate.sd is None or not self.effect:
            return None
        return seeds_needed(self.effect, self.estimate.sd, self.level)

    @cached_property
    def smallest(self) -> float | None:
        """The smallest difference, in points, that this row's seeds resolve with 80 % power."""
        if self.estimate is None or self.estimate.sd is None:
            return None
        return smallest_difference(self.estimate.sd, self.estimate.n, self.level)

    @property
    def words(self) -> str:
        """The verdict with what belongs to it: by how much, why not, or what it would take."""
        if self.verdict in (Verdict.WORSE, Verdict.BETTER):
            small = self.p_equivalence is not None and self.p_equivalence <= LEVEL
            return f"{self.verdict}, by less than {self.margin:.1f}" if small else str(self.verdict)
        if self.verdict == Verdict.NO_DIFFERENCE:
            return f"{self.verdict} larger than {self.margin:.1f}"
        if self.verdict == Verdict.NOT_RESOLVED and (reason := self._reason()):
            return f"{self.verdict}: {reason}"
        return str(self.verdict)

    def _reason(self) -> str:
        if self.estimate is None:
            return "no seed in common with the base"
        n = self.estimate.n
        if n == 1:
            return "one seed has no interval"
        if self.estimate.sd is None:
            return f"{n} equal differences have no interval"
        if self.effect:
            if self.seeds_needed is None:
                return ""
            if self.seeds_needed <= n:
                return f"the paper's {self.effect:+.1f} would likely have shown"
            return f"about {about(self.seeds_needed)} seeds would resolve the paper's {self.effect:+.1f}"
        if self.smallest is None:
            return ""
        return (
            f"{n} seeds resolve nothing" if self.smallest > 100 else f"{n} seeds resolve ±{self.smallest:.1f} and more"
        )


@dataclass(frozen=True)
class Comparison:
    """The rows of one metric against their base.

    level: that of a single row, LEVEL divided by the number of comparisons.
    """

    differences: dict[str, Difference]
    level: float

    @cached_property
    def smallest(self) -> float | None:
        """The smallest difference, in points, that the table resolves with 80 % power; None before any row is tested.

        From the standard deviations of its rows' differences, pooled by degrees of freedom, with the fewest seeds
        that a row has.
        """
        tested = [row.estimate for row in self.differences.values() if row.p is not None and row.estimate]
        spreads = [(value.n, value.sd) for value in tested if value.sd is not None]
        if not spreads:
            return None
        pooled = math.sqrt(math.fsum((n - 1) * sd**2 for n, sd in spreads) / sum(n - 1 for n, _ in spreads))
        return smallest_difference(pooled, min(n for n, _ in spreads), self.level)


@dataclass(frozen=True)
class PairDifference:
    """One error minus another, in points; p_corrected: Holm's over all that are compared together.

    paired: over the seeds that both have; otherwise a difference of two means (Welch's t). p, p_corrected: None where
    the values give no interval.
    """

    estimate: Estimate
    paired: bool
    p: float | None
    p_corrected: float | None

    @property
    def verdict(self) -> Verdict:
        """Worse and better are the first's, against the second."""
        if self.p_corrected is None or self.p_corrected > LEVEL:
            return Verdict.NOT_RESOLVED
        return Verdict.WORSE if self.estimate.mean > 0 else Verdict.BETTER


def compare_pairs(
    pairs: Mapping[str, tuple[Mapping[int, float], Mapping[int, float]]],
) -> dict[str, PairDifference]:
    """First minus second of each pair, errors in percent by seed; paired where they share two seeds or more."""
    found = {name: _pair_difference(first, second) for name, (first, second) in pairs.items()}
    corrected = _holm({name: p for name, (_, _, p) in found.items() if p is not None}, len(found))
    return {name: PairDifference(value, paired, p, corrected.get(name)) for name, (value, paired, p) in found.items()}


def _pair_difference(first: Mapping[int, float], second: Mapping[int, float]) -> tuple[Estimate, bool, float | None]:
    """The difference, whether it is paired, and p of no difference."""
    paired = paired_difference(first, second)
    if paired is not None and (paired.n > 1 or min(len(first), len(second)) == 1):
        return paired, True, None if paired.sd is None else _p_difference(paired)
    one, other = estimate(list(first.values())), estimate(list(second.values()))
    mean, n = one.mean - other.mean, min(one.n, other.n)
    if n == 1 or (one.sd is None and other.sd is None):
        return Estimate(mean, n), False, None
    from scipy.stats import t

    variances = [(value.sd or 0.0) ** 2 / value.n for value in (one, other)]  # of the means
    degrees = sum(variances) ** 2 / math.fsum(
        variance**2 / (value.n - 1) for variance, value in zip(variances, (one, other), strict=True)
    )
    error = math.sqrt(sum(variances))
    half_width = float(t.ppf(0.5 + CONFIDENCE / 2, degrees)) * error
    return Estimate(mean, n, None, half_width), False, 2 * float(t.sf(abs(mean) / error, degrees))


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student's t interval of independent values. Raises ValueError for none, or for NaN."""
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError("needs at least one value, and finite ones")
    mean = math.fsum(values) / n
    if max(values) - min(values) < EQUAL:
        return Estimate(mean, n)
    from scipy.stats import t  # here, because it takes a second to load

    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Estimate(mean, n, sd, float(t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * sd / math.sqrt(n))


def paired_difference(values: Mapping[int, float], base: Mapping[int, float]) -> Estimate | None:
    """The mean of value minus base over the seeds that both have; None where they share none.

    Runs of one seed share the order and variation of images, so pairing removes what that contributes.
    """
    shared = sorted(values.keys() & base.keys())
    return estimate([values[seed] - base[seed] for seed in shared]) if shared else None


def compare(
    values: Mapping[str, Mapping[int, float]],
    base: str,
    *,
    margin: float,
    effects: Mapping[str, float],
    seeds: int,
    comparisons: int,
) -> Comparison:
    """Compare rows with their base, at LEVEL for the whole table.

    values: errors in percent by row, then by seed, the base's among them. margin: a difference below it, in points,
    is none to speak of. effects: the paper's differences in points, of the rows that it states one for.
    seeds: of a complete row; rows with fewer are not tested. comparisons: rows of the complete table but the base;
    those that are not tested count as if they had shown nothing, so that no verdict changes when they come in.
    """
    level = LEVEL / max(1, comparisons)
    found = {name: paired_difference(own, values[base]) for name, own in values.items() if name != base}
    tested = {
        name: value for name, value in found.items() if value and value.n >= seeds and value.half_width is not None
    }
    p = {name: _p_difference(value) for name, value in tested.items()}
    p_corrected = _holm(p, comparisons)
    p_equivalence = _holm({name: _p_equivalence(value, margin) for name, value in tested.items()}, comparisons)

    def verdict(name: str, value: Estimate | None) -> Verdict:
        if min(len(values[name]), len(values[base])) < seeds:
            return Verdict.SO_FAR
        if value is None or name not in tested:
            return Verdict.NOT_RESOLVED
        if p_corrected[name] <= LEVEL:
            return Verdict.WORSE if value.mean > 0 else Verdict.BETTER
        return Verdict.NO_DIFFERENCE if p_equivalence[name] <= LEVEL else Verdict.NOT_RESOLVED

    differences = {
        name: Difference(
            estimate=value,
            p=p.get(name),
            p_corrected=p_corrected.get(name),
            p_equivalence=p_equivalence.get(name),
            verdict=verdict(name, value),
            margin=margin,
            effect=effects.get(name),
            level=level,
        )
        for name, value in found.items()
    }
    return Comparison(differences, level)


def seeds_needed(effect: float, sd: float, level: float) -> int | None:
    """Seeds, 2 at least, with which a paired t test at a two-sided level finds an effect, in 80 of 100 tables.

    effect and sd, of the differences, in points, neither 0. None where the solver finds no number.
    """
    size = abs(effect) / sd
    if _power(size, 2, level) >= POWER:
        return 2
    n = _solve(effect_size=size, nobs=None, level=level)
    return None if n is None else math.ceil(n - 1e-6)


def smallest_difference(sd: float, n: int, level: float) -> float | None:
    """The effect, in points, that a paired t test of n seeds at a two-sided level finds in 80 of 100 tables.

    None where the solver finds none.
    """
    size = _solve(effect_size=None, nobs=n, level=level)
    return None if size is None else size * sd


def about(count: int) -> str:
    """A count of which two digits mean something: 27, 130, 5,300."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return f"{-(-count // step) * step:,}"


def _p_difference(value: Estimate) -> float:
    from scipy.stats import t

    return 2 * float(t.sf(abs(value.mean) / _standard_error(value), value.n - 1))


def _p_equivalence(value: Estimate, margin: float) -> float:
    """The larger p of two one-sided tests: that the difference is above -margin, and that it is below margin."""
    from scipy.stats import t

    return float(t.sf((margin - abs(value.mean)) / _standard_error(value), value.n - 1))


def _standard_error(value: Estimate) -> float:
    assert value.sd is not None
    return value.sd / math.sqrt(value.n)


def _holm(p: Mapping[str, float], comparisons: int) -> dict[str, float]:
    """Holm's corrected p-values over so many comparisons, of which those without a p-value count as 1."""
    if not p:
        return {}
    from statsmodels.stats.multitest import multipletests

    all_p = [*p.values(), *[1.0] * (comparisons - len(p))]
    return dict(zip(p, map(float, multipletests(all_p, LEVEL, method="holm")[1]), strict=False))


def _power(size: float, n: float, level: float) -> float:
    """Power to find an effect, with its right sign, of so many standard deviations of the differences.

    The other tail adds nothing but the chance to find it with the wrong sign, and scipy's is NaN at times.
    """
    from statsmodels.stats.power import TTestPower

    return float(TTestPower().power(size, n, level / 2, alternative="larger"))


def _solve(effect_size: float | None, nobs: float | None, level: float) -> float | None:
    """The one of the two that is None, such that the power is POWER. None where statsmodels ends elsewhere."""
    from statsmodels.stats.power import TTestPower

    found = TTestPower().solve_power(effect_size, nobs, level / 2, POWER, alternative="larger")
    value = float(found)
    size, n = (value, nobs) if effect_size is None else (effect_size, value)
    assert n is not None
    return value if value > 0 and abs(_power(size, n, level) - POWER) < SOLVED else None


@dataclass(frozen=True)
class Mean:
    """A mean with what it is uncertain by. Where it is of logarithms, all of it is on their scale.

    n: seeds; images: over how many besides, 0 for none. method: how the interval was made, in words. parts: of the
    mean's variance, each with its degrees of freedom; empty where the values give no interval. low, high: of the 95 %
    interval. seed_sd: of one seed's value. image_error: the standard error that more seeds do not make smaller.
    """

    mean: float
    n: int
    method: str
    parts: tuple[tuple[float, int], ...] = ()
    images: int = 0
    low: float | None = None
    high: float | None = None
    seed_sd: float | None = None
    image_error: float = 0.0

    @property
    def standard_error(self) -> float | None:
        """None where the values give no interval."""
        return math.sqrt(math.fsum(variance for variance, _ in self.parts)) if self.parts else None

    def p(self, value: float) -> float:
        """Two-sided, of the mean being this value; raises ValueError without an interval."""
        return _p_of_parts(self.parts, abs(self.mean - value))

    def p_below(self, value: float) -> float:
        """One-sided, of the mean being this value or higher: small where it is shown to be below."""
        both = self.p(value)
        return both / 2 if self.mean < value else 1 - both / 2

    def p_above(self, value: float) -> float:
        """One-sided, of the mean being this value or lower: small where it is shown to be above."""
        return 1 - self.p_below(value)


def mean_over_seeds(values: Sequence[float]) -> Mean:
    """Student's t over seeds; for ratios, over their logarithms."""
    found = estimate(values)
    method = "Student's t over seeds"
    if found.sd is None or found.half_width is None:
        return Mean(found.mean, found.n, method)
    low, high = found.mean - found.half_width, found.mean + found.half_width
    parts = ((found.sd**2 / found.n, found.n - 1),)
    return Mean(found.mean, found.n, method, parts, 0, low, high, found.sd)


def mean_over_seeds_and_images(values: NDArray[np.float64]) -> Mean:
    """The mean of values (S, I) of S seeds' runs on the same I images, for other seeds and other images of their kind.

    Both vary at random and each seed meets each image: Var(mean) = (MS_seeds + MS_images - MS_rest) / (S I), with the
    mean squares of the two-way analysis of variance, the images' part 0 at least. The interval's t is the mean of both
    parts' t, weighted by them (Cochran and Cox 1957). One seed, or equal values, give no interval.
    """
    seeds, images = values.shape
    mean, method = float(values.mean()), "Student's t over seeds and images"
    rows, columns = values.mean(1), values.mean(0)
    if seeds < 2 or images < 2 or float(rows.max() - rows.min()) < EQUAL:
        return Mean(mean, seeds, method, images=images)
    of_seeds = images * float(((rows - mean) ** 2).sum()) / (seeds - 1)
    of_images = seeds * float(((columns - mean) ** 2).sum()) / (images - 1)
    rest_squares = float(((values - rows[:, None] - columns + mean) ** 2).sum())
    added = max(0.0, of_images - rest_squares / ((seeds - 1) * (images - 1)))
    parts: tuple[tuple[float, int], ...] = ((of_seeds / (seeds * images), seeds - 1),)
    if added:
        parts += ((added / (seeds * images), images - 1),)
    half_width = _half_width_of_parts(parts, 1 - CONFIDENCE)
    seed_sd, image_error = math.sqrt(of_seeds / images), math.sqrt(added / (seeds * images))
    return Mean(mean, seeds, method, parts, images, mean - half_width, mean + half_width, seed_sd, image_error)


def mean_over_images(values: NDArray[np.float64], seeds: int) -> Mean:
    """The mean of values (I,) of something that these seeds' runs make together, for other images, not other runs.

    The interval is a bootstrap's (BCa, 2,000 draws from a fixed seed): values of single images take a few values only,
    mostly 0, and lean to one side. With the few values that seeds give a bootstrap would be too narrow.
    """
    mean, images, method = float(values.mean()), len(values), "bootstrap over images, for these runs"
    if images < 2 or float(values.max() - values.min()) < EQUAL:
        return Mean(mean, seeds, method, images=images)
    low, high = bootstrap(values)
    variance = float(values.var(ddof=1)) / images
    return Mean(mean, seeds, method, ((variance, images - 1),), images, low, high, image_error=math.sqrt(variance))


def bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % interval of the mean of independent values, bias-corrected and accelerated; the same each time."""
    from scipy.stats import bootstrap as resample

    drawn = np.random.default_rng(0)
    found = resample(
        (values,), np.mean, n_resamples=RESAMPLES, batch=100, confidence_level=CONFIDENCE, method="BCa", rng=drawn
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


class Judgement(StrEnum):
    """What a row, or a claim, says of the paper's statement."""

    AGREES = "agrees"
    CONTRADICTS = "contradicts"
    CANNOT_TELL = "cannot be told"
    INCOMPLETE = "so far"


@dataclass(frozen=True)
class Expectation:
    """What the paper states of a mean. word: above, below or within; value: on the scale of the mean.

    contradicted: the distance from no effect, on the same side, within which it is shown not to be as claimed.
    """

    word: str
    value: float
    contradicted: float | None = None


@dataclass(frozen=True)
class Judged:
    """A row's judgement. p: two-sided, of `value` (within: of lying outside), corrected over the rows (Holm)."""

    judgement: Judgement
    p: float | None
    p_corrected: float | None


def judge(rows: Mapping[str, tuple[Mean | None, Expectation]], comparisons: int) -> dict[str, Judged]:
    """Judge each row against its expectation, at LEVEL for all of them together.

    rows: means, None for those that are not complete, which count as if they had shown nothing. comparisons: how many
    rows decide. above, below: agrees or contradicts by the two-sided test of `value` and the sign; contradicts too
    where it is shown to be nearer to no effect than `contradicted`. within: agrees where two one-sided tests place it
    inside, contradicts where it is shown to be outside. Each kind of test is corrected by itself.
    """
    found = {name: mean for name, (mean, _) in rows.items() if mean is not None and mean.parts}
    sign: dict[str, float] = {}
    near: dict[str, float] = {}
    for name, mean in found.items():
        expected = rows[name][1]
        if expected.word == "within":
            near[name] = max(mean.p_below(expected.value), mean.p_above(-expected.value))
            sign[name] = min(1.0, 2 * min(mean.p_above(expected.value), mean.p_below(-expected.value)))
            continue
        sign[name] = mean.p(expected.value)
        if expected.contradicted is not None:
            is_above = expected.word == "above"
            largest = expected.value + (expected.contradicted if is_above else -expected.contradicted)
            near[name] = mean.p_below(largest) if is_above else mean.p_above(largest)
    p_sign = _holm(sign, comparisons)
    p_near = _holm(near, comparisons)

    judged = {}
    for name, (of, expected) in rows.items():
        if of is None:
            judged[name] = Judged(Judgement.INCOMPLETE, None, None)
        elif name not in sign:
            judged[name] = Judged(Judgement.CANNOT_TELL, None, None)
        else:
            is_sure, is_near = p_sign[name] <= LEVEL, p_near.get(name, 1.0) <= LEVEL
            if expected.word == "within":
                agrees, contradicts = is_near, is_sure
                p, corrected = near[name], p_near[name]
            else:
                agrees = is_sure and (of.mean > expected.value) == (expected.word == "above")
                contradicts = not agrees and (is_sure or is_near)
                p, corrected = sign[name], p_sign[name]
            answer = Judgement.AGREES if agrees else Judgement.CONTRADICTS if contradicts else Judgement.CANNOT_TELL
            judged[name] = Judged(answer, p, corrected)
    return judged


def seeds_for(mean: Mean, effect: float, comparisons: int) -> int | None:
    """Seeds that would show an effect of this size with 80 % power; None where no number of them would, or none is
    known: the images alone leave too much open.
    """
    if mean.seed_sd is None or effect == 0:
        return None
    level = LEVEL / max(1, comparisons)
    from scipy.stats import norm

    reach = float(norm.isf(level / 2) + norm.ppf(POWER))
    if reach * mean.image_error >= abs(effect):
        return None
    left = math.sqrt(effect**2 - (reach * mean.image_error) ** 2)
    return seeds_needed(left, mean.seed_sd, level)


def _half_width_of_parts(parts: Sequence[tuple[float, int]], level: float) -> float:
    """Of an interval of a mean whose variance has these parts: their t, averaged by their shares, times its root."""
    from scipy.stats import t

    total = math.fsum(variance for variance, _ in parts)
    weighted = math.fsum(variance * float(t.isf(level / 2, freedom)) for variance, freedom in parts)
    return weighted / math.sqrt(total)


def _p_of_parts(parts: Sequence[tuple[float, int]], distance: float) -> float:
    """The level at which the interval's half width is this distance."""
    if not parts:
        raise ValueError("there is no interval")
    if len(parts) == 1:
        from scipy.stats import t

        [(variance, freedom)] = parts
        return 2 * float(t.sf(distance / math.sqrt(variance), freedom))
    from scipy.optimize import brentq

    smallest, largest = 1e-15, 1 - 1e-9  # beyond which quantiles are not computed well
    if distance >= _half_width_of_parts(parts, smallest):
        return smallest
    if distance <= _half_width_of_parts(parts, largest):
        return 1.0

    def above(log_level: float) -> float:  # nearly a straight line, which a solver finds the end of in a few steps
        return math.log(_half_width_of_parts(parts, math.exp(log_level)) / distance)

    return math.exp(float(brentq(above, math.log(smallest), math.log(largest))))
