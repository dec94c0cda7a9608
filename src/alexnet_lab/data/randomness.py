"""Random numbers that depend on (seed, epoch, sample) alone, not on who asks first.

So a batch is the same for any number of devices, and a run that is continued sees what it would have seen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15


def _signed(value: int) -> int:
    """A 64-bit pattern as the signed integer that torch stores."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014); int64 arithmetic wraps as it needs."""
    x = (x ^ _shift_right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def _mixed(x: int) -> int:
    """The same of one number, without a launch for each of its operations."""
    x &= 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return x ^ (x >> 31)


def uniform(seed: int, epoch: int, samples: Tensor, draws: int) -> Tensor:
    """Uniform numbers in [0, 1): float64 (N, draws) for int64 sample numbers (N,), on the samples' device."""
    start = _mixed(_mixed(seed * _GOLDEN + 1) + (epoch + 1) * _GOLDEN)
    stream = _mix(samples * _signed(_GOLDEN) + _signed(start + _GOLDEN))
    steps = torch.arange(1, draws + 1, device=samples.device) * _signed(_GOLDEN)
    return _shift_right(_mix(stream[:, None] + steps), 11).to(torch.float64) * 2.0**-53


def normal(uniforms: Tensor) -> Tensor:
    """Standard normal numbers (N, D) from uniform ones (N, 2 D), by Box and Muller's transform."""
    first, second = uniforms.chunk(2, 1)
    return torch.sqrt(-2.0 * torch.log1p(-first)) * torch.cos(2.0 * math.pi * second)
