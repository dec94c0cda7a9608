"""The embedded collection as a source of images."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict

from alexnet_lab.core.parallel import map_in_order
from alexnet_lab.data.chunk import Chunk, make_chunk
from alexnet_lab.fractals.collection import RENDER_VERSION, render_split
from alexnet_lab.fractals.settings import FractalSettings
from alexnet_lab.fractals.systems import class_systems

_PIXELS_OF_CHUNK = 2**20  # of images that one thread renders at a time: fewer where they are large


class FractalSource:
    """The embedded collection as a source for prepare_store; rendered on all cores that the process may use."""

    name = "fractals"

    def __init__(self, settings: FractalSettings, threads: int | None = None) -> None:
        self._settings = settings
        self._threads = threads
        self.image_size = settings.image_size
        digits = len(str(settings.num_classes - 1))
        which = f"{settings.seed}." if settings.seed else ""  # another collection has other classes
        self.class_names = [f"fractal {which}{label:0{digits}d}" for label in range(settings.num_classes)]

    def settings(self) -> dict[str, object]:
        """What the images depend on, as JSON types."""
        return {**asdict(self._settings), "render_version": RENDER_VERSION}

    def count(self, split: str) -> int:
        """Images of the split, "train" or "val"."""
        return self._settings.count(split)

    def facts(self) -> dict[str, object]:
        """Nothing is found: the settings say all."""
        return {}

    def change(self, facts: dict[str, object], every_file: bool = False) -> None:
        return None

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        """Images of each split from its start on, in order, rendered on all cores."""
        images = 1 + _PIXELS_OF_CHUNK // self.image_size**2
        class_systems(self._settings.seed, self._settings.num_classes)  # once, before the threads ask for it

        def render(beginning: tuple[str, int]) -> tuple[str, Chunk]:
            split, start = beginning
            end = min(start + images, self.count(split))
            return split, make_chunk(*render_split(self._settings, split, start, end), packing)

        beginnings = [
            (split, start) for split, first in starts.items() for start in range(first, self.count(split), images)
        ]
        yield from map_in_order(render, beginnings, self._threads)
