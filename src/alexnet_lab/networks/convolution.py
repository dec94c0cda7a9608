"""Convolutions with fewer multiplications: the minimal filtering of Winograd, on a CPU and where it pays."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

# Where polynomials are evaluated; infinity comes last. Few and small numbers of both signs keep rounding errors small:
# with these, about 1e-5 of the largest result, where an ordinary convolution has 1e-6.
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0)
POINTS_OF = {3: 7, 5: 8}  # the most that a kernel of this size is evaluated at, with infinity
PICTURES_AT_A_TIME = 16  # the tiles of so many stay near the processor
# Below these the transforms cost more than they save.
FEWEST_PICTURES, FEWEST_CHANNELS, LEAST_GAIN = 16, 48, 2.5


class Tiling(NamedTuple):
    """Maps of `outputs` are computed in `tiles` of step x step numbers, each from size x size of the input."""

    step: int
    size: int
    tiles: tuple[int, int]
    outputs: tuple[int, int]
    padding: int
    groups: int


class Convolution(nn.Conv2d):
    """torch.nn.Conv2d; kernels of 3 x 3 and 5 x 5 in float32 take fewer multiplications on a CPU.

    Elsewhere, for small batches or few channels, and for compilers and exporters, nn.Conv2d itself.
    Source: Lavin and Gray 2016, "Fast algorithms for convolutional neural networks"; the gradients are exact
    derivatives of the same formula.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        tiling = self.saves_multiplications(x)
        if tiling is None:
            return super().forward(x)
        return _Winograd.apply(x, self.weight, self.bias, tiling)

    def saves_multiplications(self, x: Tensor) -> Tiling | None:
        """How to cut the maps of x, (N, C, H, W), with the fewest multiplications; None where that would not pay."""
        kernel, padding = self.kernel_size[0], self.padding[0]
        plain = self.stride == (1, 1) and self.dilation == (1, 1) and self.padding_mode == "zeros"
        if not plain or self.bias is None or kernel not in POINTS_OF or self.kernel_size != (kernel, kernel):
            return None
        if isinstance(padding, str) or self.padding != (padding, padding):
            return None
        if x.dim() != 4 or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return None
        channels = min(self.in_channels, self.out_channels) // self.groups
        if len(x) < FEWEST_PICTURES or channels < FEWEST_CHANNELS or x.dtype != torch.float32:
            return None
        height, width = (side + 2 * padding - kernel + 1 for side in x.shape[2:])
        best, fewest = None, height * width * kernel**2 / LEAST_GAIN
        for size in range(kernel + 1, POINTS_OF[kernel] + 1):
            step = size - kernel + 1
            tiles = -(-height // step), -(-width // step)
            multiplications = math.prod(tiles) * size**2
            if multiplications < fewest:
                best, fewest = Tiling(step, size, tiles, (height, width), padding, self.groups), multiplications
        return best


@functools.cache
def _transforms(step: int, kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of outputs, kernels and inputs: y = A' ((G w) * (B x)) along each of the two axes of a tile.

    Evaluating polynomials of `step` and `kernel` coefficients at step + kernel - 1 points, multiplying, and
    interpolating gives their product, which is a convolution; its transpose is the correlation that is wanted.
    """
    size = step + kernel - 1

    def evaluation(coefficients: int) -> Any:
        rows = [[point**power for power in range(coefficients)] for point in POINTS[: size - 1]]
        return np.array([*rows, [0.0] * (coefficients - 1) + [1.0]])

    to_input = np.ascontiguousarray(np.linalg.inv(evaluation(size)).T)
    return tuple(torch.from_numpy(m).float() for m in (evaluation(step), evaluation(kernel), to_input))  # type: ignore


def _along_both_axes(matrix: Tensor, tiles: Tensor) -> Tensor:
    """matrix (P, Q) on each of the first two axes of tiles, which hold Q^2 values in a row: (P^2, the rest)."""
    after, before = matrix.shape
    tiles = tiles.view(before, before, -1)
    if after > before:  # products of matrices with so few columns are slow
        return torch.kron(matrix, matrix) @ tiles.flatten(0, 1)
    return (matrix @ torch.matmul(matrix, tiles).view(before, -1)).view(after**2, -1)


class _Winograd(torch.autograd.Function):
    """Keeps the input and the weights; what lies between is cheaper to compute again than to store."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, tiling: Tiling) -> Tensor:
        pictures, groups, kernel = len(x), tiling.groups, weight.shape[-1]
        to_output, to_kernel, to_input = _transforms(tiling.step, kernel)
        kernels = _kernels(weight, to_kernel, groups)
        result = torch.empty(pictures, len(weight), *tiling.outputs).to(memory_format=torch.channels_last)
        for part in _parts(pictures):
            tiles = _transformed(to_input, _cut(x[part], tiling, tiling.size, tiling.padding), groups)
            products = torch.bmm(tiles, kernels.transpose(1, 2))
            # All numbers of a tile contain what was found at the point (1, 1) with a factor of 1.
            at_one = products.view(tiling.size**2, groups, -1, len(weight) // groups)[tiling.size + 1]
            at_one += bias.view(groups, 1, -1)
            _paste(result[part], _along_both_axes(to_output.t(), products), tiling, tiling.step, 0)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tiling], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.tiling = inputs[3]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x, weight), tiling, groups = ctx.saved_tensors, ctx.tiling, ctx.tiling.groups
        if torch.is_grad_enabled():  # create_graph=True: the result has to be differentiable itself
            padding, no, nothing = [tiling.padding] * 2, [1, 1], [0, 0]
            return *torch.ops.aten.convolution_backward(
                gradient, x, weight, [len(weight)], no, padding, no, False, nothing, groups, [True, True, True]
            ), None
        to_output, to_kernel, to_input = _transforms(tiling.step, weight.shape[-1])
        kernels = _kernels(weight, to_kernel, groups)
        of_kernels = torch.zeros_like(kernels)
        of_x = torch.zeros_like(x, memory_format=torch.channels_last) if ctx.needs_input_grad[0] else None
        for part in _parts(len(x)):
            tiles = _transformed(to_input, _cut(x[part], tiling, tiling.size, tiling.padding), groups)
            of_products = _transformed(to_output, _cut(gradient[part], tiling, tiling.step, 0), groups)
            of_kernels.baddbmm_(of_products.transpose(1, 2), tiles)
            if of_x is not None:
                of_tiles = _along_both_axes(to_input.t(), torch.bmm(of_products, kernels))
                _paste(of_x[part], of_tiles, tiling, tiling.size, tiling.padding)
        of_taps = _along_both_axes(to_kernel.t(), of_kernels).view(*weight.shape[2:], *weight.shape[:2])
        of_weight = of_taps.permute(2, 3, 0, 1)
        return of_x, of_weight, gradient.sum((0, 2, 3)), None


def _parts(pictures: int) -> Iterator[slice]:
    for start in range(0, pictures, PICTURES_AT_A_TIME):
        yield slice(start, start + PICTURES_AT_A_TIME)


def _transformed(matrix: Tensor, tiles: Tensor, groups: int) -> Tensor:
    """(points^2 * groups, all tiles, channels / groups), or kernels for tiles."""
    return _along_both_axes(matrix, tiles).view(len(matrix) ** 2 * groups, -1, tiles.shape[-1])


def _kernels(weight: Tensor, to_kernel: Tensor, groups: int) -> Tensor:
    """(points^2 * groups, kernels / groups, channels / groups)."""
    taps = weight.permute(2, 3, 0, 1).contiguous()
    return _transformed(to_kernel, taps, groups)


def _places(tiling: Tiling, side: int, before: int, shape: torch.Size) -> Iterator[tuple[Any, Any]]:
    """For each tile, side x side: which part of it lies within the maps, as an index of tiles and of maps."""

    def clipped(axis: int, tile: int) -> tuple[slice, slice]:
        start = tile * tiling.step - before
        low, high = max(start, 0), min(start + side, shape[2 + axis])
        return slice(low - start, high - start), slice(low, high)

    for row in range(tiling.tiles[0]):
        for column in range(tiling.tiles[1]):
            rows, columns = clipped(0, row), clipped(1, column)
            yield (rows[0], columns[0], slice(None), row, column), (slice(None), rows[1], columns[1])


def _cut(maps: Tensor, tiling: Tiling, side: int, before: int) -> Tensor:
    """(N, C, H, W) to tiles, (side, side, groups, rows of tiles, columns of tiles, N, C / groups)."""
    pixels = maps.permute(0, 2, 3, 1).unflatten(3, (tiling.groups, -1))
    tiles = torch.zeros(side, side, tiling.groups, *tiling.tiles, len(maps), pixels.shape[-1])
    for of_tiles, of_maps in _places(tiling, side, before, maps.shape):
        tiles[of_tiles] = pixels[of_maps].permute(1, 2, 3, 0, 4)
    return tiles


def _paste(maps: Tensor, tiles: Tensor, tiling: Tiling, side: int, before: int) -> None:
    """The reverse: write the tiles into the maps, which are (N, C, H, W), or add them up where they overlap."""
    pixels = maps.permute(0, 2, 3, 1).unflatten(3, (tiling.groups, -1))
    tiles = tiles.view(side, side, tiling.groups, *tiling.tiles, len(maps), pixels.shape[-1])
    for of_tiles, of_maps in _places(tiling, side, before, maps.shape):
        block = tiles[of_tiles].permute(3, 0, 1, 2, 4)
        if side == tiling.step:
            pixels[of_maps] = block
        else:
            pixels[of_maps] += block
