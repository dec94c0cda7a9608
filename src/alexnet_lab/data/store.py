"""The packed store: a collection of images as plain arrays, which training reads by memory map.

A store is a folder that appears whole or not at all; SPLIT is train or val:

    SPLIT_images.npy   uint8 [N, H, W, 3]; packed as JPEG: uint8 [bytes], one file after another
    SPLIT_offsets.npy  packed as JPEG alone: int64 [N + 1], where each image's file begins
    SPLIT_labels.npy   int64 [N]
    pixel_mean.npy     float32 [H, W, 3], the mean training image on the 0-255 scale
    manifest.json      source, settings, class names, colour statistics, checksums of the files
    checksums.csv      SHA-256 of every stretch of the images' files
    quarantine.csv     images of the source that could not be read, where there were any
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.jpeg_images import JpegImages

SCHEMA_VERSION = 2
SPLITS = ("train", "val")
REMEDY = "delete the folder and prepare the data again"


class StoreError(UserError):
    """A store that is missing, damaged or of another version: one line, with what to do."""


Images = NDArray[np.uint8] | JpegImages  # uint8 [N, H, W, 3], indexed by an array of numbers


@dataclass(frozen=True)
class Store:
    """An opened store. Images are read from read-only memory maps: nothing is read before it is used."""

    path: Path
    source_name: str
    settings: dict[str, Any]
    class_names: list[str]
    image_size: int  # side of the images in pixels
    pixel_mean: NDArray[np.float32]  # [H, W, 3], 0-255
    color_eigenvalues: NDArray[np.float64]  # [3], of the training pixels' RGB covariance on 0-255, descending
    color_eigenvectors: NDArray[np.float64]  # [3, 3], column i belongs to eigenvalue i
    manifest: dict[str, Any]
    _arrays: dict[str, NDArray[Any]]

    @property
    def identity(self) -> str:
        """What the store holds, as 64 hexadecimal digits: equal for equal pixels, labels, class names and means.

        Where and from which files it was prepared is no part of it. Of the manifest alone: nothing else is read.
        """
        files = {name: facts for name, facts in self.manifest["files"].items() if name != "quarantine.csv"}
        # Without the eigenvectors, whose last bits depend on the machine's linear algebra: the pixels determine them.
        content = {key: self.manifest[key] for key in ("image_size", "packing", "class_names", "counts")}
        return manifest_checksum({**content, "files": files})

    def images(self, split: str) -> Images:
        """Images of "train" or "val", uint8 [N, H, W, 3]: a memory map, or JPEGs decoded when they are indexed."""
        images = self._arrays[f"{split}_images"]
        if images.ndim == 4:
            return images
        return JpegImages(images, self._arrays[f"{split}_offsets"], self.image_size)

    def labels(self, split: str) -> NDArray[np.int64]:
        """Class numbers of "train" or "val", int64 [N], in memory."""
        return self._arrays[f"{split}_labels"]


def open_store(path: Path) -> Store:
    """Open a finished store by its manifest; raises StoreError when it is missing, damaged or of another version.

    Cheap: shapes, dtypes and sizes are compared, no image is read. store_checks.verify_store reads everything.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    try:
        size, counts, colors = manifest["image_size"], manifest["counts"], manifest["colors"]
        arrays: dict[str, NDArray[Any]] = {}
        expected = [row for split in SPLITS for row in _array_types(split, counts[split], size, manifest)]
        expected.append(("pixel_mean", np.dtype(np.float32), (size, size, 3)))
        for name, dtype, shape in expected:
            file = path / f"{name}.npy"
            if file.stat().st_size != manifest["files"][file.name]["bytes"]:
                raise StoreError(f"{file}: is damaged (its size is not the manifest's); {REMEDY}")
            array = np.load(file, mmap_mode="r" if name.endswith("images") else None)
            if array.shape != shape or array.dtype != dtype:
                raise StoreError(f"{file}: is damaged ({array.dtype} {array.shape}, not {dtype} {shape}); {REMEDY}")
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
        raise StoreError(f"{error.filename or path}: {error.strerror or error}; {REMEDY}") from error
    except (KeyError, TypeError, ValueError, EOFError) as error:
        raise StoreError(
            f"{path}: is damaged ({type(error).__name__}: {error}); {REMEDY}".replace("\n", " ")
        ) from error


def store_key(source_name: str, settings: Mapping[str, Any]) -> str:
    """A short folder name for a source with these settings, such as "fractals-64px-20c-3f9a1c02".

    The last part is a hash of everything in the settings, so that a changed setting is another store.
    """
    text = json.dumps({"source": source_name, "settings": dict(settings)}, sort_keys=True, ensure_ascii=True)
    parts = [source_name]
    parts += [f"{settings['image_size']}px"] if "image_size" in settings else []
    parts += [f"{settings['num_classes']}c"] if "num_classes" in settings else []
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def manifest_checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest says, which it holds itself as "manifest_sha256"."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _array_types(
    split: str, count: int, size: int, manifest: dict[str, Any]
) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    """(name, dtype, shape) of the arrays of a split."""
    labels = (f"{split}_labels", np.dtype(np.int64), (count,))
    if manifest["packing"] == "pixels":
        return [(f"{split}_images", np.dtype(np.uint8), (count, size, size, 3)), labels]
    offsets = (f"{split}_offsets", np.dtype(np.int64), (count + 1,))
    return [(f"{split}_images", np.dtype(np.uint8), (manifest["bytes"][split],)), offsets, labels]


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a store of this version; raises StoreError."""
    if not path.is_dir():
        raise StoreError(f"{path}: there is no prepared data; run the preparation first")
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: is not a prepared store (no manifest.json); choose another folder") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / 'manifest.json'}: cannot be read ({error}); {REMEDY}".replace("\n", " ")) from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path}: is a store of version {version}, this program reads {SCHEMA_VERSION}; {REMEDY}")
    if manifest.pop("manifest_sha256", None) != manifest_checksum(manifest):
        raise StoreError(f"{path / 'manifest.json'}: is damaged (its checksum is wrong); {REMEDY}")
    return manifest
