"""Histograms of tensors, counted where they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BINS = 64  # as wandb.watch has


def bins_of(values: Tensor) -> list[Any]:
    """[counts of 64 bins of equal width, lowest, highest] of the finite values; where all are equal, of ±0.5 around.

    Draws no random number, and counts by an algorithm that deterministic=True allows on a GPU too.
    """
    flat = values.detach().float().flatten()
    flat = flat[torch.isfinite(flat)]
    if not len(flat):
        return [[0] * BINS, 0.0, 1.0]
    low, high = (float(end) for end in torch.aminmax(flat))
    if low == high:
        low, high = low - 0.5, high + 0.5
    numbers = ((flat - low) * (BINS / (high - low))).long().clamp_(0, BINS - 1)
    return [torch.bincount(numbers, minlength=BINS).tolist(), low, high]
