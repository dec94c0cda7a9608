"""The embedded data set: coloured shapes of iterated function systems on coloured noise, one class a system.

Every image is a function of (seed, split, class, index), the same bytes on every machine and for any
division of the work: only operations whose last bit IEEE 754 fixes decide a pixel (see exact_random).
The same image at 256 pixels is the one at 64 pixels with more detail.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.parallel import map_in_order
from alexnet_lab.data.block import Block, make_block
from alexnet_lab.fractals.exact_random import derive_keys
from alexnet_lab.fractals.images import render_batch
from alexnet_lab.fractals.systems import class_systems

RENDER_VERSION = 2  # raise it with every change of a pixel: stores of other versions are then not mistaken for these

UInt8Array = NDArray[np.uint8]
Int64Array = NDArray[np.int64]

_SPLITS = {"train": 0, "val": 1}
# Images rendered together, and images that one thread renders at a time: fewer where they are large.
_LARGEST_BATCH, _PIXELS_OF_BATCH, _PIXELS_OF_CHUNK = 32, 2**19, 2**20


# Least and greatest value of each setting.
_RANGES = {
    "image_size": (16, 4096),
    "num_classes": (1, 10_000),
    "train_images_per_class": (1, 1_000_000),
    "val_images_per_class": (1, 1_000_000),
    "seed": (0, 2**63 - 1),
    "rotation_degrees": (0, 180),
    "mirrored_fraction": (0, 1),
    "scale_smallest": (0.1, 2),
    "scale_largest": (0.1, 2),
    "translation": (0, 0.5),
    "parameter_jitter": (0, 0.5),
    "darker_fraction": (0, 1),
    "foreground_contrast": (0, 0.7),
    "background_contrast": (0, 1),
    "background_roughness": (0, 1),
    "hits_per_pixel": (0.5, 64),
    "clutter": (0, 16),
    "occlusion": (0, 2),
    "occluded_fraction": (0, 1),
    "class_colour": (0, 1),
}


@dataclass(frozen=True)
class FractalSettings:
    """What the collection contains and how hard it is. Raises UserError for a value out of range.

    Turning and shifting defeat methods that compare pixels; a share of darker shapes takes away what is
    left for a linear classifier, and most of what a network's first steps learn from.
    """

    image_size: int = 64  # side, pixels
    num_classes: int = 20
    train_images_per_class: int = 50
    val_images_per_class: int = 250
    seed: int = 0  # which classes and which images of them
    rotation_degrees: float = 20.0  # turned by an angle uniform in +- this
    mirrored_fraction: float = 0.5  # share of images that are mirrored left to right
    scale_smallest: float = 0.75  # diameter of the shape over the image's side, uniform between these two
    scale_largest: float = 0.95
    translation: float = 0.08  # shift of the shape's middle over the image's side, uniform in +- this, each way
    parameter_jitter: float = 0.03  # maps vary uniformly in +- this: of the stretch, of 60 degrees, of the radius
    darker_fraction: float = 0.2  # share of images whose shape is darker than the background, not brighter
    foreground_contrast: float = 0.45  # least difference of mean brightness, shape to background; black to white is 1
    background_contrast: float = 0.15  # amplitude of the background's coarsest noise; black to white is 1
    background_roughness: float = 0.62  # amplitude of each octave of noise over that of the next coarser one
    hits_per_pixel: float = 3.0  # points of the chaos game over pixels of the image: more is less grainy
    class_colour: float = 0.6  # part of a shape's hue that its class decides; 0: colour tells nothing
    clutter: int = 0  # smaller shapes of no class behind the shape
    occluded_fraction: float = 0.2  # share of images over which a rectangle lies
    occlusion: float = 1.2  # its area over the image's, uniform from 0.4 of this to this; it may stick out

    def __post_init__(self) -> None:
        for name, (least, greatest) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= greatest:
                raise UserError(f"fractals: {name} is {value}; it must lie between {least:,} and {greatest:,}")
        if self.scale_smallest > self.scale_largest:
            raise UserError(f"fractals: scale_smallest is {self.scale_smallest}, above scale_largest")

    def count(self, split: str) -> int:
        """Images of the split, "train" or "val"."""
        return self.num_classes * (self.train_images_per_class if split == "train" else self.val_images_per_class)


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


class FractalSource:
    """The embedded collection as a source for prepare_store; rendered on all cores that the process may use."""

    name = "fractals"

    def __init__(self, settings: FractalSettings, threads: int | None = None) -> None:
        self._settings = settings
        self._threads = threads
        self.image_size = settings.image_size
        digits = len(str(settings.num_classes - 1))
        self.class_names = [f"fractal {label:0{digits}d}" for label in range(settings.num_classes)]

    def settings(self) -> dict[str, object]:
        """What the pictures depend on, as JSON types."""
        return {**asdict(self._settings), "render_version": RENDER_VERSION}

    def count(self, split: str) -> int:
        """Images of the split, "train" or "val"."""
        return self._settings.count(split)

    def facts(self) -> dict[str, object]:
        """Nothing is found: the settings say all."""
        return {}

    def change(self, facts: dict[str, object], every_file: bool = False) -> None:
        return None

    def blocks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Block], None, None]:
        """Images of each split from its start on, in order, rendered on all cores."""
        chunk = 1 + _PIXELS_OF_CHUNK // self.image_size**2
        class_systems(self._settings.seed, self._settings.num_classes)  # once, before the threads ask for it

        def render(place: tuple[str, int]) -> tuple[str, Block]:
            split, start = place
            end = min(start + chunk, self.count(split))
            return split, make_block(*render_split(self._settings, split, start, end), packing)

        places = [(split, start) for split, first in starts.items() for start in range(first, self.count(split), chunk)]
        yield from map_in_order(render, places, self._threads)
