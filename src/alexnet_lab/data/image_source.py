"""A collection of image files, in whatever layout, as a source for prepare_store."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.decode_job import Job
from alexnet_lab.data.decode_pool import SECONDS_PER_IMAGE, DecodePool
from alexnet_lab.data.image_location import ParquetLocation
from alexnet_lab.data.listing import Layout, Listing, Split, check_filled, choose_classes, split_off, thin_out

IMAGES_PER_CHUNK = 32
_ROWS_PER_CHUNK = 128  # of a parquet file, whose row groups are read whole


@dataclass(frozen=True)
class Selection:
    """What is taken of a collection."""

    classes: tuple[str, ...] = ()  # none: all
    train_fraction: float = 1.0
    val_fraction: float = 0.2  # of the training images, where the collection has no validation images
    seed: int = 0  # of the two fractions
    layout: str = "auto"  # by what name the collection is to be read


class ImageSource:
    """Images of any size and mode that image.read_square reads, decoded on all cores.

    Unreadable images are left out and listed in the chunks.
    """

    def __init__(
        self,
        find_layout: Callable[[], Layout],
        root: Path,
        image_size: int,
        selection: Selection = Selection(),
        name: str = "",
        processes: int | None = None,
        seconds_per_image: float = SECONDS_PER_IMAGE,
        there: Callable[[], Layout | None] | None = None,
    ) -> None:
        """there: the layout without fetching anything, None where the collection may be deleted and is."""
        self._find_layout, self.root, self.image_size = find_layout, Path(root), image_size
        self._there = there or find_layout
        self._selection, self._processes, self._seconds = selection, processes, seconds_per_image
        self.name = name or re.sub(r"[^A-Za-z0-9_]+", "-", self.root.resolve().name).strip("-") or "folder"

    def check(self) -> None:
        """Raise UserError where the collection is not there; a quick look, for the preflight check."""
        self._find_layout()

    def settings(self) -> dict[str, Any]:
        chosen, default = self._selection, Selection()
        settings: dict[str, Any] = {"root": str(self.root.resolve()), "image_size": self.image_size}
        # What is as usual is left out, so that a collection with validation images of its own has one store.
        for key in ("classes", "train_fraction", "val_fraction", "seed", "layout"):
            if getattr(chosen, key) != getattr(default, key):
                value = getattr(chosen, key)
                settings[key] = sorted(value) if key == "classes" else value
        return settings

    @property
    def class_names(self) -> Sequence[str]:
        return self._listing.class_names

    def facts(self) -> dict[str, Any]:
        listing = self._listing
        return {**self._found[0], "words": listing.words, "passed_over": listing.passed_over}

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        layout = self._there()
        return layout.contents().change(facts, every_file) if layout is not None else None

    def count(self, split: str) -> int:
        return len(self._split(split).names)

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        stretches = [(split, *rows) for split, start in starts.items() for rows in self._stretches(split, start)]
        largest = max((end - begin for _, begin, end in stretches), default=0)

        def job(number: int) -> Job:
            split, begin, end = stretches[number]
            images, rows = self._split(split), slice(begin, end)
            return Job(
                list(images.names[rows]),
                list(images.locations[rows]),
                images.labels[rows].tolist(),
                self.image_size,
                packing,
                self._seconds,
            )

        with DecodePool(largest * self.image_size**2 * 3, self._processes) as pool:
            for (split, *_), chunk in zip(stretches, pool.chunks(len(stretches), job), strict=True):
                yield split, chunk

    def _stretches(self, split: str, start: int) -> list[tuple[int, int]]:
        """Where the chunks of a split begin and end, from image `start` on."""
        ends = _chunk_ends(self._split(split)).tolist()
        begins = [0, *ends[:-1]]
        if start not in (*begins, *ends[-1:]):
            raise ValueError(f"{split}: no chunk begins at image {start}")
        return [(begin, end) for begin, end in zip(begins, ends, strict=True) if begin >= start]

    @cached_property
    def _found(self) -> tuple[dict[str, Any], Listing]:
        layout = self._find_layout()
        facts = layout.contents().facts()  # first: what changes from now on is a change
        return facts, layout.listing()

    @cached_property
    def _listing(self) -> Listing:
        chosen, (_, listing) = self._selection, self._found
        if chosen.classes:
            listing = choose_classes(listing, chosen.classes)
        check_filled(listing)
        if listing.val is None:
            listing = split_off(listing, chosen.val_fraction, chosen.seed)
            check_filled(listing)  # again: the only image of a class is among those that are split off
        if chosen.train_fraction < 1:
            listing = thin_out(listing, chosen.train_fraction, chosen.seed)
        return listing

    def _split(self, split: str) -> Split:
        images = self._listing.train if split == "train" else self._listing.val
        assert images is not None
        return images


def _chunk_ends(images: Split) -> NDArray[np.int64]:
    """Where each chunk ends: after 32 images; of a parquet file, after 128 rows or with its row group."""
    count = len(images.names)
    if not count or not isinstance(images.locations[0], ParquetLocation):
        return (
            np.append(np.arange(IMAGES_PER_CHUNK, count, IMAGES_PER_CHUNK), count) if count else np.zeros(0, np.int64)
        )
    ends: list[int] = []
    begin = 0
    for row in range(1, count + 1):
        if row == count or row - begin == _ROWS_PER_CHUNK or images.locations[row][:2] != images.locations[begin][:2]:
            ends.append(row)
            begin = row
    return np.array(ends, dtype=np.int64)
