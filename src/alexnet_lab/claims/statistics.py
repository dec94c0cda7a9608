"""Means with intervals, differences paired by seed, and what can be said of them.

docs/statistics.md says why each rule is as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

CONFIDENCE = 0.95
LEVEL = 0.05  # of a whole table, for each kind of claim
POWER = 0.8
# Points. Errors come in single precision, so differences that are equal may differ by 1.2e-5; one image in a million
# is 1e-4.
EQUAL = 2e-5
SOLVED = 1e-3  # how near to POWER a solution must come


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
