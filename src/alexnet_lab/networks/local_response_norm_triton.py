"""Local response normalization on a GPU: one Triton kernel forward and one backward, imported only for CUDA."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from alexnet_lab.networks.local_response_norm import Constants, compute_dtype, is_channels_last

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
        "PIXELS": TILE // tile_channels,
        "CHANNELS": tile_channels,
        "GROUP": channels // constants.groups,
        "SIZE": constants.size,
        # Compile-time constants because a float argument would be rounded to float32.
        "SCALE": constants.alpha / constants.size,
        "BETA": constants.beta,
        "K": constants.k,
        "DTYPE": tl.float64 if compute_dtype(x) == torch.float64 else tl.float32,
    }
    pixel_tiles = triton.cdiv(pixels, shape["PIXELS"])
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
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """Offsets of the program's elements and their channels within the tower, both (PIXELS, CHANNELS)."""
    # Neighbouring programs take neighbouring channels of the same pixels, whose windows overlap in the cache.
    program = tl.program_id(0)
    image = (program // channel_tiles) // pixel_tiles
    pixel = ((program // channel_tiles) % pixel_tiles).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = (program % channel_tiles) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    offset = image.to(tl.int64) * pixels * channels + pixel * pixel_stride + channel * channel_stride
    # Elements beyond the tensor are put so far below their tower that no shift reaches it.
    within = tl.where((pixel < pixels) & (channel < channels), channel % GROUP, -(1 << 30))
    return offset, within


@triton.jit
def _load(pointers, within, channel_stride, SHIFT: tl.constexpr, GROUP: tl.constexpr, DTYPE: tl.constexpr):
    """The elements SHIFT channels up, 0 beyond the tower's edge."""
    inside = (within + SHIFT >= 0) & (within + SHIFT < GROUP)
    return tl.load(pointers + SHIFT * channel_stride, mask=inside, other=0.0).to(DTYPE)


@triton.jit
def _denominator(
    pointers,
    within,
    channel_stride,
    SHIFT: tl.constexpr,
    GROUP: tl.constexpr,
    DTYPE: tl.constexpr,
    SIZE: tl.constexpr,
    SCALE: tl.constexpr,
    K: tl.constexpr,
):
    """d of the elements SHIFT channels up. The compiler merges the loads that several calls have in common."""
    total = tl.zeros(within.shape, DTYPE)
    for position in tl.static_range(SIZE):
        x = _load(pointers, within, channel_stride, SHIFT + position - SIZE // 2, GROUP, DTYPE)
        total += x * x
    return total * SCALE + K


@triton.jit
def _inverse_power(d, BETA: tl.constexpr):
    """d^-beta."""
    if BETA == 0.75:
        root = tl.rsqrt(d)
        return root * tl.sqrt(root)
    return tl.exp2(tl.log2(d) * -BETA)


@triton.jit
def _term(
    x_pointers,
    y_gradient_pointers,
    within,
    channel_stride,
    SHIFT: tl.constexpr,
    GROUP: tl.constexpr,
    DTYPE: tl.constexpr,
    SIZE: tl.constexpr,
    SCALE: tl.constexpr,
    K: tl.constexpr,
    BETA: tl.constexpr,
):
    """g x d^(-beta - 1), g being the gradient of y, of the elements SHIFT channels up, 0 beyond the tower's edge."""
    x = _load(x_pointers, within, channel_stride, SHIFT, GROUP, DTYPE)
    product = _load(y_gradient_pointers, within, channel_stride, SHIFT, GROUP, DTYPE) * x
    d = _denominator(x_pointers, within, channel_stride, SHIFT, GROUP, DTYPE, SIZE, SCALE, K)
    # Beyond the edge the product is 0, but so may d be if k is 0.
    return tl.where(product == 0.0, 0.0, product * _inverse_power(d, BETA) / d)


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
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    GROUP: tl.constexpr,
    DTYPE: tl.constexpr,
    SIZE: tl.constexpr,
    SCALE: tl.constexpr,
    K: tl.constexpr,
    BETA: tl.constexpr,
):
    offset, within = _tile(
        pixels, channels, pixel_tiles, channel_tiles, pixel_stride, channel_stride, PIXELS, CHANNELS, GROUP
    )
    x_pointers = x_pointer + offset
    x = _load(x_pointers, within, channel_stride, 0, GROUP, DTYPE)
    d = _denominator(x_pointers, within, channel_stride, 0, GROUP, DTYPE, SIZE, SCALE, K)
    tl.store(y_pointer + offset, x * _inverse_power(d, BETA), mask=within >= 0)


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
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
    GROUP: tl.constexpr,
    DTYPE: tl.constexpr,
    SIZE: tl.constexpr,
    SCALE: tl.constexpr,
    K: tl.constexpr,
    BETA: tl.constexpr,
):
    offset, within = _tile(
        pixels, channels, pixel_tiles, channel_tiles, pixel_stride, channel_stride, PIXELS, CHANNELS, GROUP
    )
    x_pointers, y_gradient_pointers = x_pointer + offset, y_gradient_pointer + offset
    total = tl.zeros(within.shape, DTYPE)
    for position in tl.static_range(SIZE):
        total += _term(
            x_pointers,
            y_gradient_pointers,
            within,
            channel_stride,
            position - (SIZE - 1) // 2,
            GROUP,
            DTYPE,
            SIZE,
            SCALE,
            K,
            BETA,
        )
    x = _load(x_pointers, within, channel_stride, 0, GROUP, DTYPE)
    y_gradient = _load(y_gradient_pointers, within, channel_stride, 0, GROUP, DTYPE)
    d = _denominator(x_pointers, within, channel_stride, 0, GROUP, DTYPE, SIZE, SCALE, K)
    x_gradient = y_gradient * _inverse_power(d, BETA) - (2.0 * SCALE * BETA) * x * total
    tl.store(x_gradient_pointer + offset, x_gradient, mask=within >= 0)
