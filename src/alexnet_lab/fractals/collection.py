"""The embedded data set: coloured shapes of iterated function systems on coloured noise, one class a system.

Every image is a function of (seed, split, class, index), the same bytes on every machine and for any
division of the work: only operations whose last bit IEEE 754 fixes decide a pixel (see rotation).
The same image at 256 pixels is the one at 64 pixels with more detail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.random_numbers import derive_keys
from alexnet_lab.fractals.images import render_batch
from alexnet_lab.fractals.settings import FractalSettings
from alexnet_lab.fractals.systems import class_systems

RENDER_VERSION = 2  # raise it with every change of a pixel: stores of other versions are then not mistaken for these

UInt8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]

_SPLITS = {"train": 0, "val": 1}
_LARGEST_BATCH, _PIXELS_OF_BATCH = 32, 2**19  # of images rendered together: fewer where they are large


def render_split(settings: FractalSettings, split: str, first: int, last: int) -> tuple[UInt8Array, Int64Array]:
    """Images first to last - 1 of a split: uint8 [n, H, W, 3] (red, green, blue) and labels int64 [n].

    Image i belongs to class i % num_classes, so every stretch of the split is balanced.
    """
    size = settings.image_size
    images = np.empty((last - first, size, size, 3), dtype=np.uint8)
    positions = np.arange(first, last, dtype=np.int64)
    labels = positions % settings.num_classes
    classes = class_systems(settings.seed, settings.num_classes)
    keys = derive_keys(settings.seed, _SPLITS[split], labels, positions // settings.num_classes)
    batch = min(_LARGEST_BATCH, 1 + _PIXELS_OF_BATCH // size**2)
    for start in range(0, len(labels), batch):
        rows = slice(start, start + batch)
        images[rows] = render_batch(settings, classes.select(labels[rows]), labels[rows], keys[rows])
    return images, labels
