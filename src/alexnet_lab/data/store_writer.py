"""Writes a packed store so that it can be killed at any moment and goes on where it was.

Chunks are appended to the files of a hidden folder beside the store. Every two seconds what has been
written is synced to the disk and progress.npz says how much that is; who comes later cuts the files back to
that length. The last step is to rename the folder.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from alexnet_lab.core.files import write_bytes, write_json
from alexnet_lab.core.growing_file import GrowingFile
from alexnet_lab.data.array_file import ArrayFile
from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.pixel_statistics import PixelStatistics
from alexnet_lab.data.store import REMEDY, SCHEMA_VERSION, SPLITS, Store, StoreError, manifest_checksum, open_store
from alexnet_lab.data.store_checks import CHECKSUM_COLUMNS, CHECKSUMS, file_facts

SECONDS_BETWEEN_SYNCS = 2.0
_PROGRESS, _MANIFEST, _QUARANTINE = "progress.npz", "manifest.json", "quarantine.csv"


class StoreWriter:
    """Appends chunks, the training split first; `finish` gives the store its name in one step.

    A context manager, which closes the files. What was written before by a writer with the same arguments is
    kept, `taken` says how many images of the source that are; what another left there is removed.
    about: JSON types that enter the manifest; `source`, `settings`, `image_size`, `packing`, `class_names` at least.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._about = json.loads(json.dumps(dict(about)))
        self._folder = partial_folder(self.path)
        self._size, self._packing = self._about["image_size"], self._about["packing"]
        self.taken = dict.fromkeys(SPLITS, 0)
        self.rejected = dict.fromkeys(SPLITS, 0)
        self._class_counts = {split: np.zeros(len(self._about["class_names"]), dtype=np.int64) for split in SPLITS}
        self._statistics = PixelStatistics(self._size)
        self._synced = time.monotonic()
        lengths = self._restore()
        if lengths is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        for half_written in self._folder.glob(".*"):  # by write_bytes, in a process that was killed
            half_written.unlink()
        self._files = {name: ArrayFile(self._folder / f"{name}.npy", *kind) for name, kind in self._arrays().items()}
        self._tables = {
            name: _Table(self._folder / name, header)
            for name, header in ((CHECKSUMS, CHECKSUM_COLUMNS), (_QUARANTINE, ("path", "reason")))
        }
        for name, file in self._growing().items():
            file.cut_to(0 if lengths is None else lengths[name])
        if self._packing == "jpeg" and lengths is None:
            for split in SPLITS:
                self._files[f"{split}_offsets"].append_rows(np.zeros(1, dtype=np.int64))
        if lengths is None:
            self.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._growing().values():
            file.close()

    def append(self, split: str, chunk: Chunk) -> None:
        """Write the next images of a split; raises ValueError for labels that have no class."""
        counts = self._class_counts[split]
        if len(chunk.labels) and not 0 <= chunk.labels.min() <= chunk.labels.max() < len(counts):
            raise ValueError(f"{split}: labels {chunk.labels.min()} to {chunk.labels.max()}, of {len(counts)} classes")
        if len(chunk.labels) != len(chunk.sizes) or chunk.sizes.sum() != len(chunk.content):
            raise ValueError(f"{split}: {len(chunk.labels)} labels, {len(chunk.sizes)} images")
        images = self._files[f"{split}_images"]
        begin = images.length
        if self._packing == "jpeg":
            self._files[f"{split}_offsets"].append_rows(images.content_bytes + np.cumsum(chunk.sizes))
        images.append(chunk.content)
        self._files[f"{split}_labels"].append_rows(chunk.labels)
        if len(chunk.labels):
            first = int(counts.sum())
            last = first + len(chunk.labels) - 1
            self._tables[CHECKSUMS].append_rows([[images.path.name, begin, images.length, first, last, chunk.sha256]])
        self._tables[_QUARANTINE].append_rows([[one.path, one.reason] for one in chunk.rejected])
        self._class_counts[split] = counts + np.bincount(chunk.labels, minlength=len(counts))
        self.taken[split] += chunk.taken
        self.rejected[split] += len(chunk.rejected)
        if split == "train":
            self._statistics.merge(chunk.statistics)
        if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Keep what has been written so far, whatever happens."""
        files = self._growing()
        for file in files.values():
            file.sync()
        state: dict[str, Any] = {f"statistics_{key}": value for key, value in self._statistics.arrays().items()}
        for split in SPLITS:
            state[f"{split}_facts"] = np.array([self.taken[split], self.rejected[split]])
            state[f"{split}_classes"] = self._class_counts[split]
        state |= {f"length_{name}": np.int64(file.length) for name, file in files.items()}
        stream = BytesIO()
        np.savez(stream, about=np.array(self._about_text()), **state)
        write_bytes(self._folder / _PROGRESS, stream.getbuffer())
        self._synced = time.monotonic()

    def quarantine(self) -> Path:
        """The list of the images that could not be read, so far."""
        return self._folder / _QUARANTINE

    def empty_classes(self, split: str) -> list[int]:
        """Classes without an image."""
        return np.flatnonzero(self._class_counts[split] == 0).tolist()

    def finish(self) -> Store:
        """Write the rest, sync everything to the disk, rename the folder.

        Raises StoreError when something has the store's name.
        """
        self.sync()
        for name, file in self._files.items():
            file.write_header()
            file.sync()
            file.close()
            if name.endswith("images"):
                header = file_facts(file.path, 0, file.begin)["sha256"]
                self._tables[CHECKSUMS].append_rows([[file.path.name, 0, file.begin, "", "", header]])
        for table in self._tables.values():
            table.sync()
            table.close()
            if not table.length:
                table.path.unlink()
        with (self._folder / "pixel_mean.npy").open("wb") as stream:
            np.save(stream, self._statistics.pixel_mean())
            os.fsync(stream.fileno())
        files: dict[str, dict[str, Any]] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.endswith("_images.npy"):
                files[path.name] = {"bytes": path.stat().st_size}  # their stretches are in checksums.csv
            elif path.name not in (_PROGRESS, _MANIFEST):
                files[path.name] = file_facts(path)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            **self._about,
            "counts": {split: int(self._class_counts[split].sum()) for split in SPLITS},
            "bytes": {split: self._files[f"{split}_images"].content_bytes for split in SPLITS},
            "rejected": sum(self.rejected.values()),
            "colors": self._statistics.color_facts(),
            "files": files,
        }
        write_json(self._folder / _MANIFEST, {**manifest, "manifest_sha256": manifest_checksum(manifest)})
        return put_into_place(self.path)

    def _arrays(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """(dtype, shape of a row) of every array."""
        arrays: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        for split in SPLITS:
            row = (self._size, self._size, 3) if self._packing == "pixels" else ()
            arrays[f"{split}_images"] = (np.dtype(np.uint8), row)
            arrays[f"{split}_labels"] = (np.dtype(np.int64), ())
            if self._packing == "jpeg":
                arrays[f"{split}_offsets"] = (np.dtype(np.int64), ())
        return arrays

    def _growing(self) -> dict[str, ArrayFile | _Table]:
        return {**self._files, **self._tables}

    def _about_text(self) -> str:
        return json.dumps({"schema_version": SCHEMA_VERSION, **self._about}, sort_keys=True)

    def _restore(self) -> dict[str, int] | None:
        """Lengths of the files of which progress.npz speaks; None where there is nothing to go on from."""
        try:
            with np.load(self._folder / _PROGRESS, allow_pickle=False) as archive:
                state = {key: archive[key] for key in archive.files}
        except FileNotFoundError:
            return None
        if str(state.pop("about")) != self._about_text():
            return None
        lengths = {key[7:]: int(state[key]) for key in state if key.startswith("length_")}
        for name, length in lengths.items():
            file = self._folder / (name if "." in name else f"{name}.npy")
            if length and not (file.is_file() and file.stat().st_size >= length):
                raise StoreError(f"{file}: has lost what was written; delete {self._folder} and start again")
        for split in SPLITS:
            self.taken[split], self.rejected[split] = map(int, state[f"{split}_facts"])
            self._class_counts[split] = state[f"{split}_classes"]
        statistics = {key[11:]: value for key, value in state.items() if key.startswith("statistics_")}
        self._statistics = PixelStatistics.restored(statistics)
        return lengths


class _Table(GrowingFile):
    """A CSV file, empty before its first row."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        super().__init__(path)
        self._header = header

    def append_rows(self, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            text = StringIO(newline="")
            csv.writer(text).writerows(rows if self.length else [self._header, *rows])
            self.append(text.getvalue().encode("utf-8", "backslashreplace"))


def partial_folder(path: Path) -> Path:
    """Where a store grows before it is whole."""
    return path.with_name(f".{path.name}.partial")


def put_into_place(path: Path) -> Store:
    """The last steps of a store whose manifest is written, by whoever comes first; raises StoreError."""
    folder = partial_folder(path)
    (folder / _PROGRESS).unlink(missing_ok=True)
    _sync_folder(folder)
    try:
        folder.rename(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot get its name ({error.strerror}); {REMEDY}") from error
    _sync_folder(path.parent)
    return open_store(path)


def is_complete(path: Path) -> bool:
    """Whether all is written of the store that grows beside `path`: its writer was stopped just before the rename."""
    return (partial_folder(path) / _MANIFEST).is_file()


def _sync_folder(path: Path) -> None:
    """Ask the disk to hold the names in a folder, where folders can be synced."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return
