"""From the data group of a configuration to a source of images."""

from __future__ import annotations

from pathlib import Path

from alexnet_lab.config import image_sources
from alexnet_lab.config.image_sources import CollectionConfig, DataConfig, ImageFilesConfig, PublishedConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.fetch import check_can_fetch
from alexnet_lab.data.fractals import FractalSource
from alexnet_lab.data.prepare import Source, store_path
from alexnet_lab.fractals.settings import FractalSettings


def make_source(data: DataConfig) -> Source:
    """The source that the configuration names. Raises UserError where its folder is not as it should be."""
    # The readers of images only where one is read: they take a moment to load.
    match data:
        case image_sources.FractalsConfig():
            return FractalSource(
                FractalSettings(
                    image_size=data.image_size,
                    num_classes=data.num_classes,
                    train_images_per_class=data.train_images_per_class,
                    val_images_per_class=data.val_images_per_class,
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
        case image_sources.DigitsConfig():
            from alexnet_lab.data.digits import DigitsSource

            return DigitsSource(data.image_size, data.val_fraction, data.split_seed)
        case image_sources.FashionMnistConfig():
            from alexnet_lab.data.fashion_mnist import FashionMnistSource

            return FashionMnistSource(_root(data), data.image_size, data.train_fraction, data.split_seed, data.url)
        case ImageFilesConfig():
            return _image_source(data)
        case image_sources.OwnDataConfig():
            from alexnet_lab.data.own_data_set import OwnDataSet

            return OwnDataSet(data)
        case PublishedConfig():
            from alexnet_lab.data.cifar10 import Cifar10Source

            return Cifar10Source(_root(data), data.image_size, data.url)
    raise UserError(f"data.source={data.source}: is read by nobody; add it to data/sources.py")


def _image_source(data: ImageFilesConfig) -> Source:
    from alexnet_lab.data.image_source import ImageSource, Selection

    root, size = _root(data), data.image_size
    layout = data.layout if isinstance(data, image_sources.FolderConfig) else "auto"
    selection = Selection(tuple(data.classes), data.train_fraction, data.val_fraction, data.split_seed, layout)
    if isinstance(data, image_sources.PublishedFilesConfig):
        from alexnet_lab.data.layouts.published import PublishedCollection

        published = PublishedCollection(data.source, root, size, data.url)
        return ImageSource(published.fetched, root, size, selection, name=data.source, there=published.there)
    from alexnet_lab.data.layouts.detect import find_layout

    source = ImageSource(lambda: find_layout(root, layout, data.classes), root, size, selection)
    source.check()
    return source


def check_at_hand(data: DataConfig, source: Source) -> None:
    """Raise UserError where a collection is not prepared and cannot be: a published one is neither there nor to be
    fetched from here, a data set of one's own cannot be made.
    """
    if store_path(Path(data.store_root), source, data.packing).exists():
        return
    if isinstance(data, image_sources.OwnDataConfig):
        from alexnet_lab.data.own_data_set import OwnDataSet

        assert isinstance(source, OwnDataSet)
        source.check()
    if not isinstance(data, PublishedConfig):
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


def _root(data: CollectionConfig) -> Path:
    """Where the images are, or are fetched to."""
    return Path(data.root).expanduser() if data.root is not None else Path(data.store_root) / "downloads"
