"""From the data group of a configuration to a source of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_lab.data.fractals import FractalSettings, FractalSource
from alexnet_lab.data.prepare import Source

PUBLISHED = ("imagenette", "imagewoof", "tiny_imagenet")  # as archives of picture files

if TYPE_CHECKING:
    from alexnet_lab.config import DataConfig


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
            )
        )
    # The readers of pictures only where one is read: they take a moment to load.
    if data.source == "digits":
        from alexnet_lab.data.digits import DigitsSource

        return DigitsSource(data.image_size, data.val_fraction, data.split_seed)
    # What can be fetched has a place for it.
    root = Path(data.root).expanduser() if data.root is not None else Path(data.store_root) / "downloads"
    if data.source == "cifar10":
        from alexnet_lab.data.cifar10 import Cifar10Source

        return Cifar10Source(root, data.image_size, data.url)
    from alexnet_lab.data.layouts.detect import find_layout
    from alexnet_lab.data.layouts.published import PublishedLayout
    from alexnet_lab.data.picture_source import PictureSource, Selection

    selection = Selection(tuple(data.classes), data.train_fraction, data.val_fraction, data.split_seed)
    if data.source in PUBLISHED:
        layout = PublishedLayout(data.source, root, data.image_size, data.url)
        return PictureSource(lambda: layout, root, data.image_size, selection, name=data.source)
    source = PictureSource(lambda: find_layout(root, data.layout), root, data.image_size, selection)
    source.check()
    return source
