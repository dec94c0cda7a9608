"""Random numbers that are a function of their key, the same bits on every machine and whoever asks first.

SplitMix64 (Steele, Lea, Flood 2014): word i of the stream `key` is a function of (key, i). Whole numbers alone
decide it, and one exact division.

Generators of numpy draw the order of an epoch, the seeds of dropout and the parts of a collection, and checksums of
names order a collection of files: drawn from here, all of these would be others than those of runs so far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt64Array = NDArray[np.uint64]
Float64Array = NDArray[np.float64]

GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def mix(words: UInt64Array) -> UInt64Array:
    """SplitMix64's bijection of 64-bit words; uint64 of any shape, at least one dimension."""
    mixed = words ^ (words >> np.uint64(30))
    mixed *= _MULTIPLIER_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MULTIPLIER_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def derive_keys(*parts: int | NDArray[np.integer]) -> UInt64Array:
    """One 64-bit key per element of the broadcast parts, each a non-negative integer below 2**64."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(part, dtype=np.uint64)) for part in parts))
    keys = np.zeros(arrays[0].shape, dtype=np.uint64)
    for array in arrays:
        keys = mix((keys ^ array) + GOLDEN_RATIO)
    return keys


def random_words(keys: UInt64Array, count: int) -> UInt64Array:
    """Words 0 to count - 1 of each key's stream: keys [...] -> uint64 [..., count]."""
    counters = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN_RATIO
    return mix(keys[..., np.newaxis] + counters)


def random_uniform(keys: UInt64Array, count: int) -> Float64Array:
    """Multiples of 2**-53 in [0, 1): keys [...] -> float64 [..., count]."""
    return (random_words(keys, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
