"""From the data group of a configuration to a source of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_lab.data.fetch import check_can_fetch
from alexnet_lab.data.fractals import FractalSource
from alexnet_lab.data.prepare import Source, store_path
from alexnet_lab.fractals.settings import FractalSettings

PUBLISHED = ("imagenette", "imagewoof", "tiny_imagenet")  # as archives of image files

if TYPE_CHECKING:
    from alexnet_lab.config.options import DataConfig


def make_source(data: DataConfig) -> Source:
    """The source that the configuration names. Raises UserError where its folder is not as it should be."""
    if data.source == "fractals":
        return FractalSource(
            FractalSettings(
                image_size=data.image_size,
                num_classes=data.num_classes or 0,
                train_images_per_class=data.train_images_per_class or 0,
                val_images_per_class=data.val_images_per_class or 0,
                seed=data.collection_seed,
                rotation_degrees=data.rotation,
                parameter_jitter=data.shape_variation,
                class_colour=data.class_colour,
                darker_fraction=data.darker_fraction,
                clutter=data.clutter,
                occluded_fraction=data.occluded_fraction,
                occlusion=data.occlusion,
            )
        )
    root = _root(data)
    # The readers of images only where one is read: they take a moment to load.
    if data.source == "digits":
        from alexnet_lab.data.digits import DigitsSource

        return DigitsSource(data.image_size, data.val_fraction, data.split_seed)
    if data.source == "cifar10":
        from alexnet_lab.data.cifar10 import Cifar10Source

        return Cifar10Source(root, data.image_size, data.url)
    if data.source == "fashion_mnist":
        from alexnet_lab.data.fashion_mnist import FashionMnistSource

        return FashionMnistSource(root, data.image_size, data.train_fraction, data.split_seed, data.url)
    from alexnet_lab.data.image_source import ImageSource, Selection
    from alexnet_lab.data.layouts.detect import find_layout
    from alexnet_lab.data.layouts.published import PublishedCollection

    selection = Selection(tuple(data.classes), data.train_fraction, data.val_fraction, data.split_seed, data.layout)
    if data.source in PUBLISHED:
        published = PublishedCollection(data.source, root, data.image_size, data.url)
        return ImageSource(published.fetched, root, data.image_size, selection, name=data.source, there=published.there)
    source = ImageSource(lambda: find_layout(root, data.layout, data.classes), root, data.image_size, selection)
    source.check()
    return source


def check_at_hand(data: DataConfig, source: Source) -> None:
    """Raise UserError where a published collection is neither prepared, nor there, nor to be fetched from here."""
    published = data.source in ("cifar10", "fashion_mnist", *PUBLISHED)
    if not published or store_path(Path(data.store_root), source, data.packing).exists():
        return
    if data.source == "cifar10":
        from alexnet_lab.data import cifar10

        archive = cifar10.missing(_root(data))
    elif data.source == "fashion_mnist":
        from alexnet_lab.data import fashion_mnist

        archive = fashion_mnist.missing(_root(data))
    else:
        from alexnet_lab.data.layouts.published import PublishedCollection

        archive = PublishedCollection(data.source, _root(data), data.image_size, data.url).missing()
    if archive is not None:
        check_can_fetch(archive, _root(data), data.url)


def _root(data: DataConfig) -> Path:
    """Where the images are; what can be fetched has a place for it."""
    return Path(data.root).expanduser() if data.root is not None else Path(data.store_root) / "downloads"
