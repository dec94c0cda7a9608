"""Small collections that come as arrays of little images: each fits in memory as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.core.parallel import map_in_order
from alexnet_lab.data.chunk import Chunk, make_chunk
from alexnet_lab.data.contents import Contents

_IMAGES_PER_CHUNK = 500

Arrays = dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]


def part_of_each_class(labels: NDArray[np.int64], share: float, seed: int, least: int = 0) -> NDArray[np.bool_]:
    """Which images make up a share of each class, no fewer than `least` of it, chosen by the seed: bool [N]."""
    order = np.random.default_rng(seed).permutation(len(labels))
    taken = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        taken[mine[: max(least, round(share * len(mine)))]] = True
    return taken


class ArraySource(ABC):
    """What such collections have in common; images are resized (bilinear) where image_size is not theirs."""

    name: str
    class_names: Sequence[str]

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    @abstractmethod
    def load(self) -> Arrays:
        """By split: images uint8 [N, H, H, 3] and labels int64 [N]."""

    def settings(self) -> dict[str, Any]:
        return {"image_size": self.image_size}

    def contents(self) -> Contents | None:
        """Its files; None where it has none, or they are not there: they can be had again."""
        return None

    def facts(self) -> dict[str, Any]:
        contents = self.contents()  # before they are read: what changes from now on is a change
        return contents.facts() if contents is not None else {}

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        contents = self.contents()
        return contents.change(facts, every_file) if contents is not None else None

    def count(self, split: str) -> int:
        return len(self._arrays[split][1])

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        def chunk(beginning: tuple[str, int]) -> tuple[str, Chunk]:
            split, start = beginning
            rows = slice(start, start + _IMAGES_PER_CHUNK)
            images, labels = self._arrays[split]
            return split, make_chunk(self._resized(images[rows]), labels[rows], packing)

        beginnings = [
            (split, start)
            for split, first in starts.items()
            for start in range(first, self.count(split), _IMAGES_PER_CHUNK)
        ]
        yield from map_in_order(chunk, beginnings)

    @cached_property
    def _arrays(self) -> Arrays:
        return self.load()

    def _resized(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if images.shape[1] == self.image_size:
            return images
        size = (self.image_size, self.image_size)
        return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in images])
