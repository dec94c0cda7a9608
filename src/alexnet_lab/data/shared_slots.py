"""Memory that a process shares with its children: they fill it, and it reads it without a copy.

Not data/buffers.py, whose memory is of one process.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray


class SharedSlots:
    """Slots of `size` bytes in a file without a name, as many as are in use at once.

    Only the process that made them takes them; a child opens them by their `descriptor`.
    """

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = size
        self.descriptor = _nameless_file() if descriptor is None else descriptor
        self._free: deque[int] = deque()
        self._count = 0
        self._maps: dict[int, NDArray[np.uint8]] = {}

    def take(self) -> int:
        """The number of a slot that nobody uses."""
        try:
            return self._free.popleft()
        except IndexError:
            self._count += 1
            os.ftruncate(self.descriptor, self._count * self._stretch)
            return self._count - 1

    def memory(self, slot: int) -> NDArray[np.uint8]:
        """The bytes of a slot."""
        if slot not in self._maps:
            mapped = mmap.mmap(self.descriptor, self.size, offset=slot * self._stretch)
            self._maps[slot] = np.frombuffer(mapped, dtype=np.uint8)
        return self._maps[slot]

    def lent(self, slot: int) -> NDArray[np.uint8]:
        """The bytes of a slot that was taken; when nobody refers to them any more, it is free again."""
        memory = self.memory(slot)[:]
        weakref.finalize(memory, self._free.append, slot).atexit = False  # type: ignore[misc]
        return memory

    def close(self) -> None:
        """Take no more; what is lent stays."""
        os.close(self.descriptor)

    @property
    def _stretch(self) -> int:
        """Bytes from slot to slot: whole pages, as memory is mapped."""
        return -(-self.size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):  # Linux: memory alone
        return os.memfd_create("images")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
