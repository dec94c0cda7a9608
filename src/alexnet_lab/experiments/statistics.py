"""Means with intervals, and differences paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean of n values and half the width of its 95 % interval; None where one value gives no interval."""

    mean: float
    half_width: float | None
    n: int

    @property
    def resolved(self) -> bool:
        """Whether the interval excludes zero."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student's t interval of independent values. Raises ValueError for none, or for NaN."""
    n = len(values)
    if n == 0 or not all(math.isfinite(value) for value in values):
        raise ValueError("needs at least one value, and finite ones")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, 1)
    from scipy.stats import t  # here, because it takes a second to load

    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return Estimate(mean, float(t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * math.sqrt(variance / n), n)


def paired_difference(values: Mapping[int, float], base: Mapping[int, float]) -> Estimate | None:
    """The mean of value minus base over the seeds that both have; None where they share none.

    Runs of one seed share the order and variation of pictures, so pairing removes what that contributes.
    """
    shared = sorted(values.keys() & base.keys())
    return estimate([values[seed] - base[seed] for seed in shared]) if shared else None
