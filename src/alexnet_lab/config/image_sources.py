"""The options of each source of images, declared once: type, default, unit, range, and what cannot work.

They stand here and not in `data` for the reason of `architectures`. The source itself is made by `data.sources`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from alexnet_lab.config.option import option
from alexnet_lab.config.own import OwnPart
from alexnet_lab.core.errors import UserError


def _source(default: str) -> Any:
    return option(default, "what kind of collection is read; the preset's")


def _train_fraction() -> Any:
    return option(1.0, "share of each class's training images to take", minimum=1e-6, maximum=1.0)


def _val_fraction() -> Any:
    meaning = "share of each class's images to validate on, where a collection has no validation images of its own"
    return option(0.2, meaning, minimum=1e-6, maximum=0.9)


def _split_seed() -> Any:
    return option(0, "which images a fraction takes", minimum=0, maximum=2**31)


@dataclass
class DataConfig:
    """What every source has: how its images are stored, and how they are varied in training (section 4.1)."""

    source: str = _source("fractals")
    store_root: str = option("datasets", "folder in which prepared collections are kept")
    image_size: int = option(64, "side of the stored images", unit="pixels", minimum=16, maximum=1024)
    workers: int = option(2, "threads that read batches ahead", unit="threads", minimum=1, maximum=256)
    placement: str = option(
        "auto",
        "where images lie during a run: disk (a memory map), device (in the device's memory), "
        "or auto: on a GPU of which they fill no more than half of what is free, else disk",
        choices=("auto", "disk", "device"),
    )
    random_crop: bool = option(True, "train on random crops (false: on the centre)")
    flip: bool = option(True, "mirror half of the training images, left to right")
    packing: str = option(
        "pixels",
        "how the store keeps images: as they are, or as JPEGs of quality 90, a tenth as large",
        choices=("pixels", "jpeg"),
    )
    max_bad: float = option(0.01, "largest share of a split's images that may be unreadable", minimum=0.0, maximum=1.0)
    color_noise: float = option(
        0.1, "standard deviation of the noise along the principal colours; 0 switches it off", minimum=0.0, maximum=10.0
    )
    random_resized_crop: bool = option(
        False, "train on random parts of 8 % to 100 % of the image, resized, in place of random_crop (for comparison)"
    )
    color_jitter: float = option(
        0.0, "largest relative change of brightness, contrast and saturation; 0: none", minimum=0.0, maximum=1.0
    )
    random_erasing: float = option(
        0.0, "probability that a rectangle of a training image is erased; 0: none", minimum=0.0, maximum=1.0
    )
    mixup: float = option(
        0.0, "alpha of the shares in which two training images are mixed; 0: none", minimum=0.0, maximum=100.0
    )

    def check(self) -> None:
        """Raise UserError, in one line, for options that are in range and cannot work together, or here."""


@dataclass
class FractalsConfig(DataConfig):
    """The embedded collection."""

    num_classes: int = option(10, "classes", minimum=2, maximum=100_000)
    train_images_per_class: int = option(100, "training images a class", minimum=1, maximum=1_000_000)
    val_images_per_class: int = option(500, "validation images a class", minimum=1, maximum=1_000_000)
    collection_seed: int = option(0, "which collection", minimum=0, maximum=2**31)
    rotation: float = option(
        20.0, "largest turn of a shape, to either side", unit="degrees", minimum=0.0, maximum=180.0
    )
    shape_variation: float = option(
        0.04, "how far an image's shape differs from its class's, relatively", minimum=0.0, maximum=0.5
    )
    class_colour: float = option(
        0.2,
        "part of a shape's hue that its class decides; 0: colour tells nothing",
        minimum=0.0,
        maximum=1.0,
    )
    darker_fraction: float = option(
        0.2, "share of images whose shape is darker than the background", minimum=0.0, maximum=1.0
    )
    clutter: int = option(0, "smaller shapes of no class behind the shape", unit="shapes", minimum=0, maximum=16)
    occluded_fraction: float = option(0.2, "share of images that a rectangle lies over", minimum=0.0, maximum=1.0)
    occlusion: float = option(
        1.2, "largest area of that rectangle over the image's; the smallest is 0.4 of it", minimum=0.0, maximum=2.0
    )


@dataclass
class DigitsConfig(DataConfig):
    """scikit-learn's handwritten digits."""

    source: str = _source("digits")
    val_fraction: float = _val_fraction()
    split_seed: int = _split_seed()


@dataclass
class CollectionConfig(DataConfig):
    """A collection that lies in a folder."""

    CAN_BE_FETCHED: ClassVar[bool] = False  # where the folder does not hold it

    root: str | None = option(
        None, "folder of the collection; what can be fetched is put there, by default into store_root/downloads"
    )

    def check(self) -> None:
        if self.root is None:
            if not self.CAN_BE_FETCHED:
                raise UserError(f"data={self.source}: needs data.root=DIR, the folder that holds the images")
            return
        root = Path(self.root).expanduser()
        is_to_be_made = self.CAN_BE_FETCHED and not os.path.lexists(root) and root.parent.is_dir()
        if not root.is_dir() and not is_to_be_made:
            raise UserError(f"data.root={self.root}: no such folder")
        if root.exists() and not os.access(root, os.R_OK | os.X_OK):
            raise UserError(f"data.root={self.root}: may not be read; check its permissions")


@dataclass
class PublishedConfig(CollectionConfig):
    """One that is fetched where it is not there: CIFAR-10."""

    CAN_BE_FETCHED: ClassVar[bool] = True

    source: str = _source("cifar10")
    url: str | None = option(None, "address of a folder to fetch published archives from, instead of their publishers'")

    def check(self) -> None:
        super().check()
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise UserError(f"data.url={self.url}: must begin with http:// or https://")


@dataclass
class FashionMnistConfig(PublishedConfig):
    """Fashion-MNIST."""

    source: str = _source("fashion_mnist")
    train_fraction: float = _train_fraction()
    split_seed: int = _split_seed()


@dataclass
class ImageFilesConfig(CollectionConfig):
    """One of image files."""

    classes: list[str] = option([], "classes to take, by name or in words; []: all")
    train_fraction: float = _train_fraction()
    val_fraction: float = _val_fraction()
    split_seed: int = _split_seed()

    def check(self) -> None:
        super().check()
        if len(set(self.classes)) < len(self.classes):
            raise UserError(f"data.classes={self.classes}: names a class twice")
        if len(self.classes) == 1:
            raise UserError(f"data.classes={self.classes}: names one class; there is nothing to tell apart")


@dataclass
class PublishedFilesConfig(ImageFilesConfig, PublishedConfig):
    """One of image files that is fetched where it is not there."""

    source: str = _source("imagenette")


@dataclass
class FolderConfig(ImageFilesConfig):
    """One of image files that somebody has: ImageNet, or any folder."""

    source: str = _source("folder")
    layout: str = option(
        "auto",
        "how a collection of files lies in its folder (docs/data.md); auto: as is found",
        choices=("auto", "archives", "parquet", "kaggle", "tiny_imagenet", "extracted", "train_val", "tree"),
    )


@dataclass
class OwnDataConfig(OwnPart, DataConfig):
    """A data set of one's own: a torch Dataset of (image, class number) that takes split or train."""

    source: str = option("", "the option's name, for tables and logs")
    splits: list[str] = option(["train", "val"], "what its argument split is called for training and for validation")
    classes: list[str] = option([], "names of its classes; []: its own attribute classes")

    def check(self) -> None:
        if len(self.splits) != 2 or self.splits[0] == self.splits[1]:
            raise UserError(f"data.splits={self.splits}: needs two words, for training and for validation")


GREY = ("digits", "fashion_mnist")  # whose images have the same three values in every pixel

SOURCES: dict[str, type[DataConfig]] = {
    "fractals": FractalsConfig,
    "digits": DigitsConfig,
    "cifar10": PublishedConfig,
    "fashion_mnist": FashionMnistConfig,
    "imagenette": PublishedFilesConfig,
    "imagewoof": PublishedFilesConfig,
    "tiny_imagenet": PublishedFilesConfig,
    "imagenet": FolderConfig,
    "folder": FolderConfig,
}
