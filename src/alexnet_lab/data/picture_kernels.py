"""The two slow steps of preparing a picture besides its decoding, compiled by Numba for the machine it runs on.

To the last bit what Pillow and NumPy make of it (picture.py, pixel_statistics.py), which do it where there is no Numba:
importing this module raises ImportError there.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from alexnet_lab.data.compiled import compiled

_LINES = 128  # of a picture that are resized together: what is at work then stays in the processor's cache
_BITS = 22  # of the weights' fractions, as in Pillow
_TAPS = 4  # pixels that are weighted in one step; rows of weights are filled up with zeros


@intrinsic
def transpose_16(_: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
    """16 lines of 16 bytes, whose first is at the address `source`, to columns at `target`."""
    vector = ir.VectorType(ir.IntType(8), 16)
    halves = [
        ir.Constant(
            ir.VectorType(ir.IntType(32), 16), [value + side for value in range(begin, begin + 8) for side in (0, 16)]
        )
        for begin in (0, 8)
    ]

    def generate(target_context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def line(start: Any, step: Any, number: int) -> Any:
            return builder.inttoptr(builder.add(start, builder.mul(step, step.type(number))), vector.as_pointer())

        lines = [builder.load(line(arguments[0], arguments[1], number), align=1) for number in range(16)]
        for _ in range(4):  # after each, neighbours in a line come from lines half as far from each other
            lines = [builder.shuffle_vector(lines[i], lines[i + 8], half) for i in range(8) for half in halves]
        for number, content in enumerate(lines):
            builder.store(content, line(arguments[2], arguments[3], number), align=1)
        return target_context.get_dummy_value()

    whole = numba.types.intp
    return numba.types.void(whole, whole, whole, whole), generate


@numba.njit
def transpose(lines: NDArray[np.uint8], columns: NDArray[np.uint8]) -> None:
    """columns[j, i] = lines[i, j]."""
    height, width = lines.shape
    whole_height, whole_width = height - height % 16, width - width % 16
    for i in range(0, whole_height, 16):
        for j in range(0, whole_width, 16):
            source = lines.ctypes.data + i * lines.strides[0] + j
            target = columns.ctypes.data + j * columns.strides[0] + i
            transpose_16(source, lines.strides[0], target, columns.strides[0])  # type: ignore[call-arg]
        for j in range(whole_width, width):
            for row in range(i, i + 16):
                columns[j, row] = lines[row, j]
    for i in range(whole_height, height):
        for j in range(width):
            columns[j, i] = lines[i, j]


@numba.njit
def weights(
    size: int, outside: int, side: int, square: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """First pixel, number of pixels and their weights for each of `side` pixels of the middle of a line of `size`.

    Pillow's arithmetic: a triangle as wide as two of the larger pixels, in 64-bit floats, then rounded.
    """
    inside = size - 2 * outside
    first, scale = (inside - square) / 2, square / side
    reach = max(scale, 1.0)
    most = int(np.ceil(reach)) * 2 + 1
    starts, counts = np.zeros(side, np.int64), np.zeros(side, np.int64)
    values = np.zeros((side, most + _TAPS), np.int32)
    triangle = np.zeros(most)
    for number in range(side):
        center = first + (number + 0.5) * scale
        start, end = max(0, int(center - reach + 0.5)), min(inside, int(center + reach + 0.5))
        total = 0.0
        for tap in range(end - start):
            triangle[tap] = max(0.0, 1.0 - abs((tap + start - center + 0.5) * (1.0 / reach)))
            total += triangle[tap]
        for tap in range(end - start):
            values[number, tap] = int(0.5 + triangle[tap] / total * (1 << _BITS))
        starts[number], counts[number] = outside + start, end - start
    return starts, counts, values


@numba.njit
def blend(
    lines: NDArray[np.uint8], start: int, step: int, count: int, values: NDArray[np.int32],
    sums: NDArray[np.int32], out: NDArray[np.uint8],
) -> None:  # fmt: skip
    """One line from `count` others, weighted: start, start + step, ..."""
    sums[:] = 1 << (_BITS - 1)
    for tap in range(0, count, _TAPS):
        a, b, c, d = values[tap], values[tap + 1], values[tap + 2], values[tap + 3]
        at = start + tap * step
        one, two, three, four = lines[at], lines[at + step], lines[at + 2 * step], lines[at + 3 * step]
        for k in range(len(sums)):
            sums[k] += np.int32(one[k]) * a + np.int32(two[k]) * b + np.int32(three[k]) * c + np.int32(four[k]) * d
    for k in range(len(sums)):
        out[k] = np.uint8(sums[k] >> _BITS)


@compiled("void(Array(u1, 2, 'C', readonly=True), i8, i8, u1[:,::1])")
def resize(lines: NDArray[np.uint8], left_out: int, top_out: int, out: NDArray[np.uint8]) -> None:
    """The middle of (H, 3 W) as (side, 3 side): first each line to its width, then the columns.

    left_out, top_out: pixels at each end that count for nothing (picture.outside).
    128 lines at a time lie transposed for the first step, so that each step is the sum of a few weighted lines.
    """
    height, width, side = lines.shape[0], lines.shape[1] // 3, len(out)
    square = min(height, width)
    starts, counts, values = weights(width, left_out, side, square)
    tops, depths, shares = weights(height, top_out, side, square)
    left, right = starts[0], starts[side - 1] + counts[side - 1]
    top, bottom = tops[0], tops[side - 1] + depths[side - 1]
    # A step reads lines beyond its last one, with weights of zero.
    columns = np.zeros((3 * (right - left + _TAPS), _LINES), np.uint8)
    narrow = np.empty((3 * side, _LINES), np.uint8)
    middle = np.empty((bottom - top + _TAPS, 3 * side), np.uint8)
    sums = np.empty(_LINES, np.int32)
    for begin in range(top, bottom, _LINES):
        end = min(begin + _LINES, bottom)
        transpose(lines[begin:end, 3 * left : 3 * right], columns)
        for number in range(side):
            for color in range(3):
                start = 3 * (starts[number] - left) + color
                blend(columns, start, 3, counts[number], values[number], sums, narrow[3 * number + color])
        transpose(narrow[:, : end - begin], middle[begin - top : end - top])
    sums = np.empty(3 * side, np.int32)
    for number in range(side):
        blend(middle, tops[number] - top, 1, depths[number], shares[number], sums, out[number])


@compiled("void(Array(u1, 3, 'C', readonly=True), u2[:,::1], i8[:,::1])")
def count(images: NDArray[np.uint8], sums: NDArray[np.uint16], products: NDArray[np.int64]) -> None:
    """Sums (H, 3 W) of pictures (n, H, 3 W), and of the products of their colours.

    Each value is multiplied by itself and by the two behind it, also where those are the next pixel's: whole vectors of
    values in a row are faster than only those that are wanted.
    """
    values = images.shape[2]
    behind = np.empty((3, values), np.int32)  # which hold the products of 33,025 rows
    for image in images:
        behind[:] = 0
        for row in range(len(image)):
            line, total = image[row], sums[row]
            for k in range(values):
                total[k] += line[k]
            for distance in range(3):
                part, other = behind[distance], line[distance:]
                for k in range(values - distance):
                    part[k] += np.int32(line[k]) * np.int32(other[k])
        for color in range(3):
            for distance in range(3 - color):
                products[color, color + distance] += behind[distance, color::3].sum()
