"""What the embedded collection contains and how hard it is."""

from __future__ import annotations

from dataclasses import dataclass

from alexnet_lab.core.errors import UserError

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

    image_size: int = 44  # side, pixels
    num_classes: int = 10
    train_images_per_class: int = 100
    val_images_per_class: int = 500
    seed: int = 0  # which classes and which images of them
    rotation_degrees: float = 20.0  # turned by an angle uniform in +- this
    mirrored_fraction: float = 0.5  # share of images that are mirrored left to right
    scale_smallest: float = 0.75  # diameter of the shape over the image's side, uniform between these two
    scale_largest: float = 0.95
    translation: float = 0.08  # shift of the shape's middle over the image's side, uniform in +- this, each way
    parameter_jitter: float = 0.04  # maps vary uniformly in +- this: of the stretch, of 60 degrees, of the radius
    darker_fraction: float = 0.2  # share of images whose shape is darker than the background, not brighter
    foreground_contrast: float = 0.45  # least difference of mean brightness, shape to background; black to white is 1
    background_contrast: float = 0.15  # amplitude of the background's coarsest noise; black to white is 1
    background_roughness: float = 0.62  # amplitude of each octave of noise over that of the next coarser one
    hits_per_pixel: float = 3.0  # points of the chaos game over pixels of the image: more is less grainy
    class_colour: float = 0.2  # part of a shape's hue that its class decides; 0: colour tells nothing
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
