"""Local response normalization on a GPU: one Triton kernel forward, one backward; imported only for CUDA."""

# Triton gives its kernels' arguments types of its own.
# mypy: allow-untyped-defs, allow-incomplete-defs

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from alexnet_lab.networks.local_response_norm_shared import Constants, compute_dtype, is_channels_last

# Elements per program: four to a thread, so that their windows fit in its registers.
TILE = 512


def local_response_norm(x: Tensor, gradient: Tensor | None, constants: Constants) -> Tensor:
    """y for x or, given the gradient of y, the gradient of x; (N, C, ...), dtype and memory format of x.

    Each program takes a tile of pixels x channels and loads the channels of its windows anew for every shift:
    from memory once, and afterwards from the cache.
    """
    channels_last = is_channels_last(x)
    x = x if channels_last else x.contiguous()
    result = torch.empty_like(x)
    channels = x.shape[1]
    pixels = x.numel() // channels
    if channels_last:
        images, tile_channels = 1, min(triton.next_power_of_2(channels), 32)
        channel_stride, pixel_stride = 1, channels
    else:
        images, tile_channels = x.shape[0], min(triton.next_power_of_2(channels), 8)
        pixels //= images
        channel_stride, pixel_stride = pixels, 1
    shape = {
        "tile_pixels": TILE // tile_channels,
        "tile_channels": tile_channels,
        "group": channels // constants.groups,
        "size": constants.size,
        # Compile-time constants because a float argument would be rounded to float32.
        "scale": constants.alpha / constants.size,
        "beta": constants.beta,
        "k": constants.k,
        "dtype": tl.float64 if compute_dtype(x) == torch.float64 else tl.float32,
    }
    pixel_tiles = triton.cdiv(pixels, shape["tile_pixels"])
    channel_tiles = triton.cdiv(channels, tile_channels)
    sizes = (pixels, channels, pixel_tiles, channel_tiles, pixel_stride, channel_stride)
    grid = (images * pixel_tiles * channel_tiles,)
    with torch.cuda.device_of(x):
        if gradient is None:
            _forward_kernel[grid](x, result, *sizes, **shape)
        else:
            dense = gradient.movedim(1, -1).contiguous() if channels_last else gradient.contiguous()
            _backward_kernel[grid](x, dense, result, *sizes, **shape)
    return result


@triton.jit
def _tile(
    pixels,
    channels,
    pixel_tiles,
    channel_tiles,
    pixel_stride,
    channel_stride,
    tile_pixels: tl.constexpr,
    tile_channels: tl.constexpr,
    group: tl.constexpr,
):
    """Offset and channel within its tower of each of the program's elements: (tile_pixels, tile_channels)."""
    # Neighbouring programs take neighbouring channels of the same pixels, whose windows overlap in the cache.
    tile = tl.program_id(0) // channel_tiles
    channel = tl.program_id(0) % channel_tiles * tile_channels + tl.arange(0, tile_channels)[None, :]
    image = (tile // pixel_tiles).to(tl.int64)
    pixel = (tile % pixel_tiles).to(tl.int64) * tile_pixels + tl.arange(0, tile_pixels)[:, None]
    offset = image * pixels * channels + pixel * pixel_stride + channel * channel_stride
    # Elements beyond the tensor are put so far below their tower that no shift reaches it.
    within = tl.where((pixel < pixels) & (channel < channels), channel % group, -(1 << 30))
    return offset, within


@triton.jit
def _load(pointers, within, channel_stride, shift: tl.constexpr, group: tl.constexpr, dtype: tl.constexpr):
    """The elements `shift` channels up, 0 beyond the tower's edge."""
    inside = (within + shift >= 0) & (within + shift < group)
    return tl.load(pointers + shift * channel_stride, mask=inside, other=0.0).to(dtype)


@triton.jit
def _denominator(
    pointers,
    within,
    channel_stride,
    shift: tl.constexpr,
    group: tl.constexpr,
    dtype: tl.constexpr,
    size: tl.constexpr,
    scale: tl.constexpr,
    k: tl.constexpr,
):
    """d of the elements `shift` channels up. The compiler merges the loads that several calls share."""
    total = tl.zeros(within.shape, dtype)
    for position in tl.static_range(size):
        x = _load(pointers, within, channel_stride, shift + position - size // 2, group, dtype)
        total += x * x
    return total * scale + k


@triton.jit
def _inverse_power(d, beta: tl.constexpr):
    """d^-beta."""
    if beta == 0.75:
        root = tl.rsqrt(d)
        return root * tl.sqrt(root)
    return tl.exp2(tl.log2(d) * -beta)


@triton.jit
def _term(
    x_pointers,
    y_gradient_pointers,
    within,
    channel_stride,
    shift: tl.constexpr,
    group: tl.constexpr,
    dtype: tl.constexpr,
    size: tl.constexpr,
    scale: tl.constexpr,
    k: tl.constexpr,
    beta: tl.constexpr,
):
    """(gradient of y) x d^(-beta - 1) of the elements `shift` channels up, 0 beyond the tower's edge."""
    x = _load(x_pointers, within, channel_stride, shift, group, dtype)
    product = _load(y_gradient_pointers, within, channel_stride, shift, group, dtype) * x
    d = _denominator(x_pointers, within, channel_stride, shift, group, dtype, size, scale, k)
    # Beyond the edge the product is 0, but so may d be if k is 0.
    return tl.where(product == 0.0, 0.0, product * _inverse_power(d, beta) / d)


@triton.jit
def _forward_kernel(
    x_pointer,
    y_pointer,
    pixels,
    channels,
    pixel_tiles,
    channel_tiles,
    pixel_stride,
    channel_stride,
    tile_pixels: tl.constexpr,
    tile_channels: tl.constexpr,
    group: tl.constexpr,
    dtype: tl.constexpr,
    size: tl.constexpr,
    scale: tl.constexpr,
    k: tl.constexpr,
    beta: tl.constexpr,
):
    offset, within = _tile(
        pixels,
        channels,
        pixel_tiles,
        channel_tiles,
        pixel_stride,
        channel_stride,
        tile_pixels,
        tile_channels,
        group,
    )
    x_pointers = x_pointer + offset
    x = _load(x_pointers, within, channel_stride, 0, group, dtype)
    d = _denominator(x_pointers, within, channel_stride, 0, group, dtype, size, scale, k)
    tl.store(y_pointer + offset, x * _inverse_power(d, beta), mask=within >= 0)


@triton.jit
def _backward_kernel(
    x_pointer,
    y_gradient_pointer,
    x_gradient_pointer,
    pixels,
    channels,
    pixel_tiles,
    channel_tiles,
    pixel_stride,
    channel_stride,
    tile_pixels: tl.constexpr,
    tile_channels: tl.constexpr,
    group: tl.constexpr,
    dtype: tl.constexpr,
    size: tl.constexpr,
    scale: tl.constexpr,
    k: tl.constexpr,
    beta: tl.constexpr,
):
    offset, within = _tile(
        pixels,
        channels,
        pixel_tiles,
        channel_tiles,
        pixel_stride,
        channel_stride,
        tile_pixels,
        tile_channels,
        group,
    )
    x_pointers, y_gradient_pointers = x_pointer + offset, y_gradient_pointer + offset
    total = tl.zeros(within.shape, dtype)
    for position in tl.static_range(size):
        total += _term(
            x_pointers,
            y_gradient_pointers,
            within,
            channel_stride,
            position - (size - 1) // 2,
            group,
            dtype,
            size,
            scale,
            k,
            beta,
        )
    x = _load(x_pointers, within, channel_stride, 0, group, dtype)
    y_gradient = _load(y_gradient_pointers, within, channel_stride, 0, group, dtype)
    d = _denominator(x_pointers, within, channel_stride, 0, group, dtype, size, scale, k)
    x_gradient = y_gradient * _inverse_power(d, beta) - (2.0 * scale * beta) * x * total
    tl.store(x_gradient_pointer + offset, x_gradient, mask=within >= 0)
