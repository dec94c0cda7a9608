"""From the data group of a configuration to a source of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_lab.data.fractals import FractalSettings, FractalSource
from alexnet_lab.data.prepare import Source

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
    root = Path(data.root or "").expanduser()
    if data.source == "cifar10":
        from alexnet_lab.data.cifar10 import Cifar10Source  # the readers of pictures only where one is read

        return Cifar10Source(root, data.image_size)
    from alexnet_lab.data.folder import FolderSource

    return FolderSource(root, data.image_size)
