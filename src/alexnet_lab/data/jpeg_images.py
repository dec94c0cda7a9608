"""Images that the store keeps as JPEGs, read as if they were an array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.parallel import usable_cores
from alexnet_lab.data.chunk import decoded


class JpegImages:
    """uint8 [N, H, W, 3], decoded on all cores when it is indexed by a number, a slice or an array of numbers."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, files: NDArray[np.uint8], offsets: NDArray[np.int64], image_size: int) -> None:
        self._files, self._offsets = files, offsets
        self.shape = (len(offsets) - 1, image_size, image_size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int | np.integer | slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Images [n, H, W, 3], or one [H, W, 3]; raises IndexError beyond the end."""
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        numbers = np.asarray(index, dtype=np.int64)
        if numbers.size and not -len(self) <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"images {numbers.min()} to {numbers.max()} of {len(self)}")
        numbers = numbers % max(1, len(self))
        if numbers.ndim == 0:
            return self._one(int(numbers))
        images = np.empty((len(numbers), *self.shape[1:]), dtype=np.uint8)

        def fill(row: int) -> None:
            images[row] = self._one(int(numbers[row]))

        list(self._threads.map(fill, range(len(numbers))))
        return images

    def _one(self, number: int) -> NDArray[np.uint8]:
        return decoded(self._files[self._offsets[number] : self._offsets[number + 1]].tobytes())

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(usable_cores())  # Pillow lets go of Python's lock while it decodes
