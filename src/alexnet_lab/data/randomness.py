"""Random numbers that depend on (seed, epoch, sample) alone, not on who asks first.

So a batch is the same for any number of devices, and a run that is continued sees what it would have seen.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from alexnet_lab.core.random_numbers import GOLDEN_RATIO, UInt64Array, mix, random_uniform


def uniform(seed: int, epoch: int, samples: Tensor, draws: int) -> Tensor:
    """Uniform numbers in [0, 1): float64 (N, draws) for int64 sample numbers (N,), on the processor."""
    run = mix(_words(seed) * GOLDEN_RATIO + _words(1))
    start = mix(run + _words(epoch + 1) * GOLDEN_RATIO)
    streams = mix(samples.cpu().numpy().astype(np.uint64) * GOLDEN_RATIO + start + GOLDEN_RATIO)
    return torch.from_numpy(random_uniform(streams, draws))


def normal(uniforms: Tensor) -> Tensor:
    """Standard normal numbers (N, D) from uniform ones (N, 2 D), by Box and Muller's transform."""
    first, second = uniforms.chunk(2, 1)
    return torch.sqrt(-2.0 * torch.log1p(-first)) * torch.cos(2.0 * math.pi * second)


def _words(number: int) -> UInt64Array:
    return np.array([number], dtype=np.uint64)
