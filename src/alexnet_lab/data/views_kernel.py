"""The loop that writes varied views. Numba compiles it when this is imported; compiled_views.py says where it is used.

Memory is its limit. So it takes 16 pixels at a time, in vectors of which LLVM makes what the processor at hand has;
asks for the pixels of later rows ahead; and writes past the caches, because an ordinary store first reads the line of
memory that it is about to overwrite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numpy.typing import NDArray

from alexnet_lab.data.compiled import compiled

intrinsic: Any = numba.extending.intrinsic  # it is declared to return the function that it is given

_INTEGER, _FLOATS = ir.IntType(32), ir.VectorType(ir.FloatType(), 16)
_BLOCK = 48  # values, of 16 pixels: three vectors
_LINE = 64  # bytes of a vector, and of a line of the cache
_BACKWARDS = [_BLOCK - 3 - value + 2 * (value % 3) for value in range(_BLOCK)]  # the pixels, not the colours in each


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, element: ir.Type) -> Any:
    """To array[index:], for loading or storing an `element`."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), element.as_pointer())


@intrinsic
def _write_block(
    typing: Any, view: Any, mean: Any, to: Any, line: Any, source: Any, colors: Any, mirrored: Any, streamed: Any
) -> Any:
    """view[to:] = (line[source:] - mean[to:]) + colors, 48 values; if mirrored, with the line's pixels backwards.

    streamed: past the caches, for an address that is a multiple of 64; others see it after `_finish_stores`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pick(numbers: Sequence[int]) -> Any:
            mask = ir.Constant(ir.VectorType(_INTEGER, len(numbers)), list(numbers))
            return builder.shuffle_vector(pixels, pixels, mask)

        view, mean, to, line, source, colors, mirrored, streamed = arguments
        kinds, start = signature.args, ir.Constant(to.type, 0)
        view = _pointer(context, builder, kinds[0], view, to, _FLOATS)
        mean = _pointer(context, builder, kinds[1], mean, to, _FLOATS)
        line = _pointer(context, builder, kinds[3], line, source, ir.VectorType(ir.IntType(8), _BLOCK))
        colors = _pointer(context, builder, kinds[5], colors, start, _FLOATS)
        pixels = builder.load(line, align=1)
        pixels = builder.select(mirrored, pick(_BACKWARDS), pixels)
        for third in range(3):
            offset = [ir.Constant(_INTEGER, third)]
            values = builder.uitofp(pick(range(16 * third, 16 * third + 16)), _FLOATS)
            values = builder.fsub(values, builder.load(builder.gep(mean, offset), align=4))
            values = builder.fadd(values, builder.load(builder.gep(colors, offset), align=4))
            target = builder.gep(view, offset)
            with builder.if_else(streamed) as (past_caches, through_caches):
                with past_caches:
                    store = builder.store(values, target, align=_LINE)
                    store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(_INTEGER, 1)]))
                with through_caches:
                    builder.store(values, target, align=4)
        return context.get_dummy_value()

    return types.void(view, mean, types.intp, line, types.intp, colors, types.boolean, types.boolean), generate


@intrinsic
def _prefetch(typing: Any, line: Any, index: Any) -> Any:
    """Ask for the memory at line[index], which may lie anywhere: where there is none, nothing happens."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        line, index = arguments
        address = _pointer(context, builder, signature.args[0], line, index, ir.IntType(8))
        form = ir.FunctionType(ir.VoidType(), [address.type, _INTEGER, _INTEGER, _INTEGER])
        to_read, often, data = (ir.Constant(_INTEGER, number) for number in (0, 3, 1))
        builder.call(
            builder.module.declare_intrinsic("llvm.prefetch", [address.type], form), [address, to_read, often, data]
        )
        return context.get_dummy_value()

    return types.void(line, types.intp), generate


@intrinsic
def _finish_stores(typing: Any) -> Any:
    """All that was written, past the caches too, is there for other cores before anything that is written later."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@compiled("void(Array(u1,3,'C',readonly=True),i8[::1],i8[::1],i8[::1],i8[::1],f4[:,:,::1],f4[:,::1],f4[:,:,::1])")
def vary(
    pictures: NDArray[np.uint8],
    samples: NDArray[np.int64],
    top: NDArray[np.int64],
    left: NDArray[np.int64],
    mirrored: NDArray[np.int64],
    mean: NDArray[np.float32],
    shift: NDArray[np.float32],
    views: NDArray[np.float32],
) -> None:
    """Fill views (N, crop, 3 crop) from pictures (M, H, 3 H); mean (2, H, 3 H), as it is and mirrored; shift (N, 3)."""
    number, rows, values = views.shape
    streamed = values % _BLOCK == 0 and views.ctypes.data % _LINE == 0  # then whole lines of the cache are written
    colors = np.empty(_BLOCK, np.float32)
    for i in range(number):
        mirror = mirrored[i] != 0
        start = 3 * left[i]
        mean_start = mean.shape[2] - values - start if mirror else start
        for k in range(_BLOCK):
            colors[k] = shift[i, k % 3]
        for row in range(rows):
            line = pictures[samples[i], top[i] + row, start : start + values]
            mean_line = mean[mirrored[i], top[i] + row, mean_start : mean_start + values]
            view = views[i, row]
            if values < _BLOCK:
                for k in range(values):
                    source = values - 3 - k + 2 * (k % 3) if mirror else k
                    view[k] = (np.float32(line[source]) - mean_line[k]) + colors[k % 3]
            else:
                for begin in range(0, values, _BLOCK):
                    k = min(begin, values - _BLOCK)  # the last block may write some values again
                    source = values - _BLOCK - k if mirror else k
                    _write_block(view, mean_line, k, line, source, colors, mirror, streamed)
                    _prefetch(line, k + 2 * pictures.shape[2])  # two rows on
    _finish_stores()
