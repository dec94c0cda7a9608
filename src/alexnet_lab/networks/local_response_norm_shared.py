"""What the implementations of normalization share, across channels and within maps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Constants(NamedTuple):
    """y = x d^-beta; d = k + (alpha / size) (sum of x^2 over the `size` channels around x in its group)."""

    size: int
    alpha: float
    beta: float
    k: float
    groups: int


def is_channels_last(x: Tensor) -> bool:
    """Whether the memory holds pixel after pixel, for any number of dimensions; if unclear, it does not."""
    return not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def compute_dtype(x: Tensor) -> torch.dtype:
    """Half types are computed in float32: their squares would overflow, their sums lose digits."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def inverse_power(d: Tensor, beta: float) -> Tensor:
    """d^-beta."""
    if beta == 0.75:
        root = d.rsqrt()  # d^-0.75 = d^-1/2 d^-1/4: two square roots are far cheaper than a power
        return root * root.sqrt()
    return d.pow(-beta)
