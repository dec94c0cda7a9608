"""Pictures in folders, root/train/<class>/* and root/val/<class>/*, as a source for prepare_store."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.data.parallel import map_in_order
from alexnet_lab.data.picture import UnreadablePicture, read_square
from alexnet_lab.data.store import SPLITS, Rejected
from alexnet_lab.errors import UserError

CHUNK = 32  # pictures that one thread decodes at a time
LARGEST_REJECTED_SHARE = 0.01

# What lies beside pictures without being meant as one. Everything else is expected to be a picture.
_OTHER_FILES = {".csv", ".db", ".html", ".ini", ".json", ".md", ".mat", ".npy", ".py", ".txt", ".xml", ".yaml", ".yml"}


@dataclass(frozen=True)
class _Listing:
    """The files of a split: names and labels in the order of class and name."""

    names: list[str]  # class/file
    labels: NDArray[np.int64]


class FolderSource:
    """Pictures of any size and mode that Pillow reads; picture.read_square says what becomes of them.

    Unreadable pictures are left out and listed in `rejected`, which is complete when both splits' chunks
    have been taken. Raises UserError: at once for folders that are missing, empty or differ in their
    classes; from `chunks` when more than 1 % of a split or the whole of a class cannot be read.
    """

    def __init__(self, root: Path, image_size: int, threads: int | None = None) -> None:
        self.root, self.image_size, self._threads = Path(root), image_size, threads
        classes = {split: _class_folders(self.root / split) for split in SPLITS}
        for split, other in (("train", "val"), ("val", "train")):
            missing = sorted(set(classes[other]) - set(classes[split]))
            if missing:
                folder = self.root / split / missing[0]
                raise UserError(f"{folder}: is missing ({len(missing)} classes of {other}/ have no folder in {split}/)")
        if len(classes["train"]) < 2:
            raise UserError(f"{self.root / 'train'}: holds one class folder; there is nothing to tell apart")
        self.class_names = classes["train"]
        self.name = re.sub(r"[^A-Za-z0-9_]+", "-", self.root.resolve().name).strip("-") or "folder"
        self.rejected: list[Rejected] = []
        self._fingerprint = hashlib.sha256()
        self._listings = {split: self._list(split) for split in SPLITS}

    def settings(self) -> dict[str, Any]:
        """What the pictures depend on. `listing` changes with any file's name, size or time of change."""
        return {
            "root": str(self.root.resolve()),
            "image_size": self.image_size,
            "num_classes": len(self.class_names),
            "listing": self._fingerprint.hexdigest()[:16],
        }

    def count(self, split: str) -> int:
        """Files of the split; so many pictures, if all can be read."""
        return len(self._listings[split].names)

    def chunks(self, split: str) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.int64]]]:
        """(position of the first picture, pictures uint8 [n, H, W, 3], labels int64 [n]), in order, on all cores."""
        listing = self._listings[split]
        self.rejected = [one for one in self.rejected if not one.path.startswith(f"{split}/")]
        starts = range(0, len(listing.names), CHUNK)
        good_of_class = np.zeros(len(self.class_names), dtype=np.int64)
        position = bad = 0
        for images, labels, rejected in map_in_order(lambda start: self._read(split, start), starts, self._threads):
            self.rejected += rejected
            bad += len(rejected)
            if bad > LARGEST_REJECTED_SHARE * len(listing.names):
                first = next(one for one in self.rejected if one.path.startswith(f"{split}/"))
                raise UserError(
                    f"{self.root / first.path}: cannot be read ({first.reason}), nor can over 1 % of the "
                    f"{len(listing.names)} pictures in {split}/; remove or replace them"
                )
            good_of_class += np.bincount(labels, minlength=len(self.class_names))
            if len(images):
                yield position, images, labels
            position += len(images)
        if not good_of_class.all():
            folder = self.root / split / self.class_names[int(good_of_class.argmin())]
            raise UserError(f"{folder}: none of its pictures can be read; replace them")

    def _read(self, split: str, start: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[Rejected]]:
        """One chunk: pictures, labels and what could not be read."""
        listing = self._listings[split]
        names = listing.names[start : start + CHUNK]
        images = np.empty((len(names), self.image_size, self.image_size, 3), dtype=np.uint8)
        labels: list[int] = []
        rejected: list[Rejected] = []
        for name, label in zip(names, listing.labels[start : start + CHUNK], strict=True):
            try:
                images[len(labels)] = read_square(self.root / split / name, self.image_size)
                labels.append(int(label))
            except UnreadablePicture as error:
                rejected.append(Rejected(f"{split}/{name}", str(error)))
        return images[: len(labels)], np.array(labels, dtype=np.int64), rejected

    def _list(self, split: str) -> _Listing:
        """The files of a split, entered into the fingerprint."""
        names: list[str] = []
        counts: list[int] = []
        for class_name in self.class_names:
            folder = self.root / split / class_name
            try:
                files = sorted((entry.name, entry.stat()) for entry in os.scandir(folder) if _may_be_picture(entry))
            except OSError as error:
                raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error
            if not files:
                raise UserError(f"{folder}: holds no pictures; every class needs some in train/ and in val/")
            for name, facts in files:
                line = f"{split}/{class_name}/{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n"
                self._fingerprint.update(line.encode("utf-8", "surrogateescape"))
            names += [f"{class_name}/{name}" for name, _ in files]
            counts.append(len(files))
        return _Listing(names, np.repeat(np.arange(len(counts), dtype=np.int64), counts))


def _class_folders(folder: Path) -> list[str]:
    """Names of the class folders, sorted; raises UserError."""
    layout = "pictures are expected in train/<class>/ and val/<class>/"
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); {layout}") from error
    if not names:
        raise UserError(f"{folder}: holds no class folders; {layout}")
    return names


def _may_be_picture(entry: os.DirEntry[str]) -> bool:
    """Every visible file that is not of a kind known to be something else."""
    if entry.name.startswith(".") or Path(entry.name).suffix.lower() in _OTHER_FILES:
        return False
    return entry.is_file()
