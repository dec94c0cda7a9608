"""Fashion-MNIST: 70,000 greyscale photographs of 28 x 28 pixels in ten classes (Xiao, Rasul and Vollgraf 2017)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.array_source import Arrays, ArraySource, part_of_each_class
from alexnet_lab.data.contents import Contents, contents_of_files
from alexnet_lab.data.fetch import fetch

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "val": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
NAMES = tuple(name for names in FILES.values() for name in names)
LARGEST = 2**26  # bytes of a file's content; the largest has 47 million
SIDE = 28


def missing(root: Path) -> str | None:
    """The first archive that has to be fetched into `root`; None where all four files are there."""
    return next((f"{name}.gz" for name in NAMES if _file(root, name) is None), None)


def _file(root: Path, name: str) -> Path | None:
    return next((path for path in (root / name, root / f"{name}.gz") if path.is_file()), None)


class FashionMnistSource(ArraySource):
    """The four published idx files, compressed or not, as Debian's package dataset-fashion-mnist installs them.

    Those that are not there are fetched. train_fraction of each class's training photographs is taken, chosen by
    split_seed; the 10,000 of the test set are the validation set, always. Grey becomes three equal channels.
    """

    name = "fashion_mnist"
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def __init__(
        self, root: Path, image_size: int, train_fraction: float = 1.0, split_seed: int = 0, url: str | None = None
    ) -> None:
        super().__init__(image_size)
        self.root, self._url = root, url
        self._train_fraction, self._seed = train_fraction, split_seed

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "train_fraction": self._train_fraction, "split_seed": self._seed}

    def facts(self) -> dict[str, Any]:
        for name in NAMES:
            if _file(self.root, name) is None:
                fetch(f"{name}.gz", self.root, self._url)
        return super().facts()

    def contents(self) -> Contents | None:
        files = [file for name in NAMES if (file := _file(self.root, name)) is not None]
        labels = [file for file in files if "-labels-" in file.name]
        return contents_of_files(self.root, files, labels, self.class_names) if files else None

    def load(self) -> Arrays:
        arrays: Arrays = {}
        for split, names in FILES.items():
            files = [_file(self.root, name) or fetch(f"{name}.gz", self.root, self._url) for name in names]
            images, labels = _array(files[0], 3), _array(files[1], 1)
            if images.shape[1:] != (SIDE, SIDE):
                raise UserError(f"{files[0]}: holds images of {images.shape[1:]} pixels, not of {SIDE} x {SIDE}")
            if len(images) != len(labels):
                raise UserError(f"{files[1]}: has {len(labels)} labels for the {len(images)} images of {files[0].name}")
            if len(labels) and labels.max() >= len(self.class_names):
                raise UserError(f"{files[1]}: has the label {labels.max()}; Fashion-MNIST has 0 to 9")
            arrays[split] = (np.repeat(images[..., np.newaxis], 3, axis=-1), labels.astype(np.int64))
        train_images, train_labels = arrays["train"]
        taken = part_of_each_class(train_labels, self._train_fraction, self._seed, least=1)
        return {"train": (train_images[taken], train_labels[taken]), "val": arrays["val"]}


def _array(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """The content of an idx file of bytes. Raises UserError where it is not one, or not whole."""
    try:
        content = _content(file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{file}: cannot be read ({error}); fetch it again") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise UserError(f"{file}: is no idx file of bytes in {dimensions} dimensions; fetch it again")
    shape = np.frombuffer(content, ">u4", dimensions, 4).astype(object)  # whole numbers that cannot overflow
    if len(content) - head != np.prod(shape):
        said = " x ".join(map(str, shape))
        raise UserError(f"{file}: says that it holds {said} bytes and has {len(content) - head}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(tuple(shape))


def _content(file: Path) -> bytes:
    with file.open("rb") as raw:
        is_compressed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if is_compressed else raw
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"its content is larger than {LARGEST} bytes")
    return content
