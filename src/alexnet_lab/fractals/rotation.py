"""Rotations that are the same bits on every machine.

IEEE 754 fixes + - * / and sqrt to the last bit, and integer arithmetic is exact; sin, cos, exp and the
order of a library's sums are not fixed. Everything that decides a pixel is made of the former only.
"""

from __future__ import annotations

import numpy as np

from alexnet_lab.core.random_numbers import Float64Array

_RADIANS_PER_DEGREE = 0.017453292519943295


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
