"""Writing a packed store, so that it appears whole or not at all."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.data.pixel_statistics import PixelStatistics
from alexnet_lab.data.store import (
    REMEDY,
    SCHEMA_VERSION,
    SPLITS,
    Rejected,
    Store,
    StoreError,
    array_types,
    file_facts,
    manifest_checksum,
    open_store,
)
from alexnet_lab.files import write_json


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
        self._class_names = list(class_names)
        self._about = {
            "schema_version": SCHEMA_VERSION,
            "source": source_name,
            "settings": dict(settings),
            "class_names": self._class_names,
            "image_size": image_size,
        }
        self._folder = self.path.with_name(partial_name(self.path) + secrets.token_hex(4))
        self._folder.mkdir(parents=True)
        self._statistics = PixelStatistics(image_size)
        self._arrays: dict[str, _ArrayFile] = {}
        self._written = {split: np.zeros(counts[split], dtype=bool) for split in SPLITS}
        try:
            for split in SPLITS:
                for name, dtype, shape in array_types(split, counts[split], image_size):
                    self._arrays[name] = _ArrayFile(self._folder / f"{name}.npy", dtype, shape)
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
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self._class_names):
            raise ValueError(f"{split}: labels {labels.min()} to {labels.max()}, out of the classes' range")
        self._arrays[f"{split}_images"].write(start, images)
        self._arrays[f"{split}_labels"].write(start, labels)
        written[start:end] = True
        if split == "train":
            self._statistics.add(images)

    def shorten(self, split: str, count: int) -> None:
        """Keep only the first `count` pictures: some of the source could not be read."""
        for name in (f"{split}_images", f"{split}_labels"):
            self._arrays[name].shorten(count)
        self._written[split] = self._written[split][:count]

    def finish(self, rejected: Sequence[Rejected] = ()) -> Store:
        """Compute the statistics and checksums, sync everything to the disk, rename the folder into place.

        Raises ValueError when pictures were not written, StoreError when something is in the store's place.
        """
        for split, written in self._written.items():
            if not written.all():
                raise ValueError(f"{split}: {np.count_nonzero(~written)} of {len(written)} pictures were not written")
        self._close()
        np.save(self._folder / "pixel_mean.npy", self._statistics.pixel_mean())
        if rejected:
            with (self._folder / "quarantine.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(["path", "reason"])
                table.writerows([one.path, one.reason] for one in rejected)
        files = {file.name: file_facts(file) for file in sorted(self._folder.iterdir())}
        manifest = {
            **self._about,
            "counts": {split: len(written) for split, written in self._written.items()},
            "rejected": len(rejected),
            "colors": self._statistics.color_facts(),
            "files": files,
        }
        write_json(self._folder / "manifest.json", {**manifest, "manifest_sha256": manifest_checksum(manifest)})
        for written_path in [*self._folder.iterdir(), self._folder]:
            _sync(written_path)
        try:
            self._folder.rename(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be put into place ({error.strerror}); {REMEDY}") from error
        _sync(self.path.parent)
        return open_store(self.path)

    def discard(self) -> None:
        """Remove the temporary folder, where it is still there."""
        self._close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        for array in self._arrays.values():
            array.close()


class _ArrayFile:
    """An .npy file whose rows are written in any order.

    Not a memory map: where a disk or a quota is full, writing to a map kills the process, while this
    raises OSError.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._dtype, self._shape = dtype, shape
        self._file = path.open("wb", buffering=0)
        self._write_header()
        self._begin = self._file.tell()

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Rows start, start + 1, ..."""
        if rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]}, not {self._shape[1:]}")
        left = memoryview(np.ascontiguousarray(rows, dtype=self._dtype).reshape(-1).view(np.uint8).data)
        self._file.seek(self._begin + start * self._row_bytes())
        while left:  # one call may write less than it is given
            left = left[self._file.write(left) :]

    def shorten(self, count: int) -> None:
        """Keep `count` rows. numpy pads its header for the first dimension's digits, so it keeps its length."""
        self._shape = (count, *self._shape[1:])
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._begin:
            raise RuntimeError(f"numpy wrote a header of {self._file.tell()} bytes, not of {self._begin}")
        self._file.truncate(self._begin + count * self._row_bytes())

    def close(self) -> None:
        self._file.close()

    def _row_bytes(self) -> int:
        return int(np.prod(self._shape[1:], dtype=np.int64)) * self._dtype.itemsize

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, header)


def partial_name(path: Path) -> str:
    """What the names of the temporary folders of a store begin with."""
    return f".{path.name}.partial-"


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
