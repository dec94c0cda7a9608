"""Random numbers and rotations that are the same bits on every machine.

IEEE 754 fixes + - * / and sqrt to the last bit, and integer arithmetic is exact; sin, cos, exp and the
order of a library's sums are not fixed. Everything that decides a pixel is made of the former only.

Random numbers are SplitMix64 (Steele, Lea, Flood 2014): word i of the stream `key` is a function of
(key, i), so that no image depends on which image was drawn before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt64Array = NDArray[np.uint64]
Float64Array = NDArray[np.float64]

_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_RADIANS_PER_DEGREE = 0.017453292519943295


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
        keys = mix((keys ^ array) + _GOLDEN_RATIO)
    return keys


def random_words(keys: UInt64Array, count: int) -> UInt64Array:
    """Words 0 to count - 1 of each key's stream: keys [...] -> uint64 [..., count]."""
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_RATIO
    return mix(keys[..., np.newaxis] + counters)


def random_uniform(keys: UInt64Array, count: int) -> Float64Array:
    """Multiples of 2**-53 in [0, 1): keys [...] -> float64 [..., count]."""
    return (random_words(keys, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def rotation(degrees: Float64Array) -> tuple[Float64Array, Float64Array]:
    """(cosine, sine) of angles in [-180, 180] degrees, by arithmetic alone.

    t = tan(angle / 4) from its continued fraction x / (1 - x^2 / (3 - x^2 / (5 - ...))), which converges
    below one unit in the last place for |x| <= pi / 4; then the rational parametrization of the circle
    gives the half angle, and squaring that rotation the whole one.
    """
    quarter = degrees * (0.25 * _RADIANS_PER_DEGREE)
    square = quarter * quarter
    denominator = np.full_like(quarter, 17.0)
    for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0):
        denominator = odd - square / denominator
    tangent = quarter / denominator
    scale = 1.0 + tangent * tangent
    cosine, sine = (1.0 - tangent * tangent) / scale, 2.0 * tangent / scale
    return cosine * cosine - sine * sine, 2.0 * cosine * sine
