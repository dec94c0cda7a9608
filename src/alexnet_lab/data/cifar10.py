"""CIFAR-10: 60,000 images of 32 x 32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.data.array_source import Arrays, ArraySource
from alexnet_lab.data.contents import Contents, contents_of_files
from alexnet_lab.data.fetch import fetch

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
LARGEST = 2**26  # bytes of a file; they have 31 million
FILES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "val": ["test_batch"]}


def missing(root: Path) -> str | None:
    """The archive that has to be fetched into `root`; None where CIFAR-10 is there."""
    return None if _folder(root) or (root / ARCHIVE).is_file() else ARCHIVE


def _folder(root: Path) -> Path | None:
    """Where the extracted files are, or some of them: in their folder in `root`, or in `root` itself."""
    names = [name for names in FILES.values() for name in names]
    return next((at for at in (root / FOLDER, root) if any((at / name).is_file() for name in names)), None)


class Cifar10Source(ArraySource):
    """The published archive, read as it is, or its extracted folder; the test set serves as validation set.

    The archive is fetched where neither is there.
    """

    name = "cifar10"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(self, root: Path, image_size: int, url: str | None = None) -> None:
        super().__init__(image_size)
        self.root, self._url = root, url

    def facts(self) -> dict[str, Any]:
        if missing(self.root):
            fetch(ARCHIVE, self.root, self._url)
        return super().facts()

    def contents(self) -> Contents | None:
        folder = _folder(self.root) or self.root
        names = [ARCHIVE] if _folder(self.root) is None else [name for names in FILES.values() for name in names]
        files = [folder / name for name in names if (folder / name).is_file()]
        return contents_of_files(folder, files, class_names=self.class_names) if files else None

    def load(self) -> Arrays:
        folder = _folder(self.root)
        file = folder or fetch(ARCHIVE, self.root, self._url)
        try:
            if folder:
                return {
                    split: _joined([_batch(_content(folder / name)) for name in names])
                    for split, names in FILES.items()
                }
            with tarfile.open(file) as archive:
                members = {
                    Path(member.name).name: member for member in archive if member.isreg() and member.size <= LARGEST
                }
                return {
                    split: _joined([_batch(archive.extractfile(members[name]).read()) for name in names])  # type: ignore[union-attr]
                    for split, names in FILES.items()
                }
        except Preempted:
            raise
        except Exception as error:  # a damaged or hostile pickle may fail anywhere, and never mends by a traceback
            reason = " ".join(str(error).split())
            raise UserError(f"{file}: CIFAR-10's files are incomplete or damaged ({reason}); fetch it again") from None


class _NumbersOnly(pickle.Unpickler):
    """Builds numpy's arrays and nothing else, whatever the file asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.replace("._core", ".core"), name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _content(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes")
    return path.read_bytes()


def _batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 32, 32, 3] and labels [n] of a file."""
    batch = _NumbersOnly(io.BytesIO(content), encoding="latin1").load()
    images, labels = batch["data"], np.asarray(batch["labels"], dtype=np.int64)
    if images.dtype != np.uint8 or images.shape != (len(labels), 3072) or not set(labels.tolist()) <= set(range(10)):
        raise ValueError("it does not hold images of 32 pixels in ten classes")
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([one for one, _ in batches]), np.concatenate([labels for _, labels in batches])
