"""CIFAR-10: 60,000 pictures of 32 x 32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.errors import UserError

CHUNK = 1000
COUNTS = {"train": 50_000, "val": 10_000}


class Cifar10Source:
    """The published archive or its extracted folder, read by torchvision, which checks every file's MD5 first.

    Pictures are resized (bicubic) where image_size is not 32; the test set serves as validation set.
    Raises UserError where root holds neither cifar-10-batches-py/ nor cifar-10-python.tar.gz.
    """

    name = "cifar10"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(self, root: Path, image_size: int) -> None:
        self.root, self.image_size = root, image_size
        if not (root / "cifar-10-batches-py").is_dir() and not (root / "cifar-10-python.tar.gz").is_file():
            raise UserError(
                f"data.root={root}: holds neither cifar-10-batches-py/ nor cifar-10-python.tar.gz; "
                "fetch the archive from the data set's page and put it there"
            )

    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size, "num_classes": 10}

    def count(self, split: str) -> int:
        return COUNTS[split]

    def chunks(self, split: str) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64]]]:
        from torchvision.datasets import CIFAR10  # here, because torchvision takes seconds to load

        if not (self.root / "cifar-10-batches-py").is_dir():
            _extract(self.root / "cifar-10-python.tar.gz", self.root)
        try:
            pictures = CIFAR10(str(self.root), train=split == "train")
        except RuntimeError:
            raise UserError(f"{self.root}: CIFAR-10's files are incomplete or damaged; fetch it again") from None
        labels = np.asarray(pictures.targets, dtype=np.int64)
        for start in range(0, len(labels), CHUNK):
            part = pictures.data[start : start + CHUNK]
            yield start, self._resized(part), labels[start : start + CHUNK]

    def _resized(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if images.shape[1] == self.image_size:
            return images
        size = (self.image_size, self.image_size)
        return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in images])


def _extract(archive: Path, root: Path) -> None:
    """Unpack the archive; the filter refuses anything that would lie outside `root`."""
    import tarfile

    try:
        with tarfile.open(archive) as file:
            file.extractall(root, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{archive}: cannot be unpacked ({error}); fetch it again") from None
