"""The packed store: a collection of pictures as plain arrays, which training reads by memory map.

A store is a folder that appears whole or not at all:

    train_images.npy  uint8 [N, H, W, 3]     val_images.npy  the same
    train_labels.npy  int64 [N]              val_labels.npy  the same
    pixel_mean.npy    float32 [H, W, 3], the mean training picture on the 0-255 scale
    manifest.json     source, settings, class names, colour statistics, checksums
    quarantine.csv    pictures of the source that could not be read, where there were any
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.data.pixel_statistics import PixelStatistics
from alexnet_lab.errors import UserError

SCHEMA_VERSION = 1
SPLITS = ("train", "val")
_REMEDY = "delete the folder and prepare the data again"


class StoreError(UserError):
    """A store that is missing, damaged or of another version: one line, with what to do."""


@dataclass(frozen=True)
class Rejected:
    """A picture of the source that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class Store:
    """An opened store. Arrays of pictures are read-only memory maps: nothing is read before it is used."""

    path: Path
    source_name: str
    settings: dict[str, Any]
    class_names: list[str]
    image_size: int  # side of the pictures in pixels
    pixel_mean: NDArray[np.float32]  # [H, W, 3], 0-255
    color_eigenvalues: NDArray[np.float64]  # [3], of the training pixels' RGB covariance on 0-255, descending
    color_eigenvectors: NDArray[np.float64]  # [3, 3], column i belongs to eigenvalue i
    manifest: dict[str, Any]
    _arrays: dict[str, NDArray[Any]]

    def images(self, split: str) -> NDArray[np.uint8]:
        """Pictures of "train" or "val", uint8 [N, H, W, 3], memory-mapped."""
        return self._arrays[f"{split}_images"]

    def labels(self, split: str) -> NDArray[np.int64]:
        """Class numbers of "train" or "val", int64 [N], in memory."""
        return self._arrays[f"{split}_labels"]


class StoreWriter:
    """Fills a store in a temporary folder beside its place; `finish` puts it there in one step.

    Used as a context manager: left without `finish`, by an error or not, the temporary folder is removed.
    counts are the pictures of each split, which may be written in any order.
    """

    def __init__(
        self,
        path: Path,
        source_name: str,
        settings: Mapping[str, Any],
        class_names: Sequence[str],
        image_size: int,
        counts: Mapping[str, int],
    ) -> None:
        self.path = Path(path)
        self._about = {
            "schema_version": SCHEMA_VERSION,
            "source": source_name,
            "settings": dict(settings),
            "class_names": list(class_names),
            "image_size": image_size,
        }
        self._folder = self.path.with_name(partial_name(self.path) + secrets.token_hex(4))
        self._folder.mkdir(parents=True)
        self._statistics = PixelStatistics(image_size)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._written = {split: np.zeros(counts[split], dtype=bool) for split in SPLITS}
        try:
            for split in SPLITS:
                for name, dtype, shape in _array_types(split, counts[split], image_size):
                    file = self._folder / f"{name}.npy"
                    self._arrays[name] = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, split: str, start: int, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        """Pictures start, start + 1, ... of a split; each is written once.

        Raises ValueError for a picture written twice, a label that has no class, another dtype or place.
        """
        end = start + len(images)
        written = self._written[split]
        if images.dtype != np.uint8 or len(labels) != len(images) or not 0 <= start <= end <= len(written):
            raise ValueError(
                f"{split}: {images.dtype} pictures {start} to {end} of {len(written)}, {len(labels)} labels"
            )
        if written[start:end].any():
            raise ValueError(f"{split}: pictures {start} to {end} hold some that are written already")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self._about["class_names"]):
            raise ValueError(f"{split}: labels {labels.min()} to {labels.max()}, out of the classes' range")
        self._arrays[f"{split}_images"][start:end] = images
        self._arrays[f"{split}_labels"][start:end] = labels
        written[start:end] = True
        if split == "train":
            self._statistics.add(images)

    def shorten(self, split: str, count: int) -> None:
        """Keep only the first `count` pictures: some of the source could not be read."""
        for name in (f"{split}_images", f"{split}_labels"):
            array = self._arrays.pop(name)
            shape, dtype = (count, *array.shape[1:]), array.dtype
            array.flush()  # type: ignore[attr-defined]
            del array
            _shorten_array(self._folder / f"{name}.npy", shape, dtype)
            self._arrays[name] = np.load(self._folder / f"{name}.npy", mmap_mode="r+")
        self._written[split] = self._written[split][:count]

    def finish(self, rejected: Sequence[Rejected] = ()) -> Store:
        """Compute the statistics and checksums, sync everything to the disk, rename the folder into place.

        Raises ValueError when pictures were not written, StoreError when something is in the store's place.
        """
        for split, written in self._written.items():
            if not written.all():
                raise ValueError(f"{split}: {np.count_nonzero(~written)} of {len(written)} pictures were not written")
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]
        self._arrays.clear()
        np.save(self._folder / "pixel_mean.npy", self._statistics.pixel_mean())
        if rejected:
            with (self._folder / "quarantine.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["path", "reason"])
                table.writerows([one.path, one.reason] for one in rejected)
        files = {file.name: _file_facts(file) for file in sorted(self._folder.iterdir())}
        manifest = {
            **self._about,
            "counts": {split: len(written) for split, written in self._written.items()},
            "rejected": len(rejected),
            "colors": self._statistics.color_facts(),
            "files": files,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (self._folder / "manifest.json").write_text(text, encoding="utf-8")
        for file in [*self._folder.iterdir(), self._folder]:
            _sync(file)
        try:
            self._folder.rename(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be put into place ({error.strerror}); {_REMEDY}") from error
        _sync(self.path.parent)
        return open_store(self.path)

    def discard(self) -> None:
        """Remove the temporary folder, where it is still there."""
        self._arrays.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def open_store(path: Path) -> Store:
    """Open a finished store by its manifest; raises StoreError when it is missing, damaged or of another version.

    Cheap: shapes, dtypes and sizes are compared, no picture is read. `verify_store` reads everything.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    try:
        size, counts, colors = manifest["image_size"], manifest["counts"], manifest["colors"]
        arrays: dict[str, NDArray[Any]] = {}
        expected = [row for split in SPLITS for row in _array_types(split, counts[split], size)]
        expected.append(("pixel_mean", np.dtype(np.float32), (size, size, 3)))
        for name, dtype, shape in expected:
            file = path / f"{name}.npy"
            if file.stat().st_size != manifest["files"][file.name]["bytes"]:
                raise StoreError(f"{file}: is damaged (its size is not the manifest's); {_REMEDY}")
            # numpy cannot map an array without elements.
            array = np.load(file, mmap_mode="r" if name.endswith("images") and shape[0] else None)
            if array.shape != shape or array.dtype != dtype:
                raise StoreError(f"{file}: is damaged ({array.dtype} {array.shape}, not {dtype} {shape}); {_REMEDY}")
            arrays[name] = array
        return Store(
            path=path,
            source_name=manifest["source"],
            settings=manifest["settings"],
            class_names=manifest["class_names"],
            image_size=size,
            pixel_mean=arrays.pop("pixel_mean"),
            color_eigenvalues=np.array(colors["eigenvalues"], dtype=np.float64),
            color_eigenvectors=np.array(colors["eigenvectors"], dtype=np.float64).reshape(3, 3),
            manifest=manifest,
            _arrays=arrays,
        )
    except OSError as error:
        raise StoreError(f"{error.filename or path}: {error.strerror or error}; {_REMEDY}") from error
    except (KeyError, TypeError, ValueError, EOFError) as error:
        raise StoreError(
            f"{path}: is damaged ({type(error).__name__}: {error}); {_REMEDY}".replace("\n", " ")
        ) from error


def verify_store(path: Path) -> Store:
    """Open a store and compare every file's checksum; raises StoreError naming the damaged file."""
    store = open_store(path)
    for name, facts in store.manifest["files"].items():
        try:
            found = _file_facts(store.path / name)
        except OSError as error:
            raise StoreError(f"{store.path / name}: {error.strerror or error}; {_REMEDY}") from error
        if found != facts:
            raise StoreError(f"{store.path / name}: is damaged (its checksum is not the manifest's); {_REMEDY}")
    return store


def store_key(source_name: str, settings: Mapping[str, Any]) -> str:
    """A short folder name for a source with these settings, such as "fractals-64px-20c-3f9a1c02".

    The last part is a hash of everything in the settings, so that a changed setting is another store.
    """
    text = json.dumps({"source": source_name, "settings": dict(settings)}, sort_keys=True, ensure_ascii=True)
    parts = [source_name]
    parts += [f"{settings['image_size']}px"] if "image_size" in settings else []
    parts += [f"{settings['num_classes']}c"] if "num_classes" in settings else []
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def partial_name(path: Path) -> str:
    """What the names of the temporary folders of a store begin with."""
    return f".{path.name}.partial-"


def _array_types(split: str, count: int, size: int) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    """(name, dtype, shape) of the arrays of a split."""
    images, labels = f"{split}_images", f"{split}_labels"
    return [(images, np.dtype(np.uint8), (count, size, size, 3)), (labels, np.dtype(np.int64), (count,))]


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a store of this version; raises StoreError."""
    if not path.is_dir():
        raise StoreError(f"{path}: there is no prepared data; run the preparation first")
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: is not a prepared store (no manifest.json); choose another folder") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / 'manifest.json'}: cannot be read ({error}); {_REMEDY}".replace("\n", " ")) from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path}: is a store of version {version}, this program reads {SCHEMA_VERSION}; {_REMEDY}")
    return manifest


def _shorten_array(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Give an .npy file a smaller first dimension, in place: numpy leaves room for its digits in the header."""
    with file.open("r+b") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        begin = stream.tell()
        stream.seek(0)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        if stream.tell() != begin:
            raise RuntimeError(f"numpy wrote a header of {stream.tell()} bytes, not of {begin}")
        stream.truncate(begin + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)


def _file_facts(file: Path) -> dict[str, Any]:
    """SHA-256 and size of a file."""
    with file.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "bytes": os.fstat(stream.fileno()).st_size}


def _sync(path: Path) -> None:
    """Ask the disk to hold what the system has taken; folders cannot be synced everywhere."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
