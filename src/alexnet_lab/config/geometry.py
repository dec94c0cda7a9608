"""How many kernels a layer has and how large its maps are: arithmetic alone, without torch.

Kept apart from the network so that a command line is checked before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

# Kernels of conv1 to conv5 over both towers, units of fc6 and fc7 (section 3.5).
KERNELS_CONV1_TO_CONV5 = (96, 256, 384, 384, 256)
UNITS_FC6_AND_FC7 = (4096, 4096)


def scaled_kernels(
    width: float,
    half_kernels: bool,
    communicating: bool,
    kernels: Sequence[int] = KERNELS_CONV1_TO_CONV5,
    units: Sequence[int] = UNITS_FC6_AND_FC7,
) -> tuple[int, ...]:
    """Kernels of conv1 to conv5 and units of fc6 and fc7, over all towers.

    half_kernels is the original program's run 145-half: conv1 to conv4 halved, conv5, fc6 and fc7 not,
    which keeps the number of parameters near the two-tower network's. Not communicating is its run 150:
    wider conv2 (160 a tower for 128) and fc6 (4096 a tower for 2048) make up for the missing connections.
    """
    conv1, conv2, conv3, conv4, conv5 = kernels
    fc6, fc7 = units
    if half_kernels:
        conv1, conv2, conv3, conv4 = conv1 // 2, conv2 // 2, conv3 // 2, conv4 // 2
    if not communicating:
        conv2, fc6 = conv2 * 5 // 4, 2 * fc6
    return tuple(round(width * count) for count in (conv1, conv2, conv3, conv4, conv5, fc6, fc7))


def stem_padding(input_size: int, kernel_size: int, stride: int) -> int:
    """Pixels to add at the right and bottom so that conv1's last window is whole.

    The original program computes 1 + ceil((224 - 11) / 4) = 55 positions and lets the last window
    hang over the edge, which is the same as padding 224 by 3 on those two sides.
    """
    positions = 1 + ceil((input_size - kernel_size) / stride)
    return (positions - 1) * stride + kernel_size - input_size


def stem_edges(input_size: int, kernel_size: int, stride: int, padding: str) -> tuple[int, int]:
    """Pixels added before (left, top) and after (right, bottom) the image: (0, 3) is the original's at 224.

    padding: ceiling as in `stem_padding`, none, or as many pixels on all sides as the text says ("2").
    Raises ValueError for another word, and for a padding that fills a whole window.
    """
    if padding == "ceiling":
        return 0, stem_padding(input_size, kernel_size, stride)
    if padding == "none":
        return 0, 0
    if not (padding.isascii() and padding.isdigit() and int(padding) < kernel_size):
        raise ValueError(f"must be ceiling, none, or pixels from 0 to {kernel_size - 1}")
    return int(padding), int(padding)


def feature_map_sizes(
    input_size: int,
    kernel_size: int,
    stride: int,
    overlapping_pool: bool,
    padding: str = "ceiling",
    without: str = "none",
    pool_rounding: str = "ceiling",
) -> tuple[int, ...]:
    """Side of the maps after conv1, pool1, conv2, pool2, conv5 and pool5, in pixels.

    At 224 pixels: 55, 27, 27, 13, 13, 6 with overlapping pooling. Without it the original program's run
    147 takes one pixel of padding from conv2 and conv5: 55, 28, 26, 13, 11, 6, so that fc6 keeps its size.
    With pool_rounding="floor" no pooling window hangs over the edge, and on odd maps 2 x 2 windows give the sizes of
    3 x 3 windows by themselves (section 3.4), so that the padding stays.
    A convolution that is left out changes no size of its own: the pooling after it stays.
    Raises ValueError when a map would be smaller than the window that reads it.
    """
    before, after = stem_edges(input_size, kernel_size, stride, padding)
    if input_size + 2 * before < kernel_size:
        raise ValueError(f"is smaller than conv1's {kernel_size} x {kernel_size} kernels")
    window = 3 if overlapping_pool else 2
    shrink = 0 if overlapping_pool or pool_rounding == "floor" else 2
    size = 1 + (before + input_size + after - kernel_size) // stride
    sizes = [size]
    for pool, convolution in (("pool1", "conv2"), ("pool2", "conv5"), ("pool5", "")):
        if size < window:
            raise ValueError(f"leaves {size} x {size} maps for {pool}, which needs {window} x {window}")
        size = 1 + (ceil if pool_rounding == "ceiling" else floor)((size - window) / 2)
        sizes.append(size)
        if convolution:
            size -= 0 if convolution == without else shrink
            if size < 1:
                raise ValueError(f"leaves no pixel of {convolution}'s maps")
            sizes.append(size)
    return tuple(sizes)
