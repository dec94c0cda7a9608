"""Memory for batches that is used again: fresh memory costs the system more than filling it does."""

from __future__ import annotations

import math
import weakref
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor


class Buffers:
    """Tensors whose memory comes back here when the last tensor that shares it is gone, for any thread."""

    def __init__(self, dtype: np.dtype | type) -> None:
        self._dtype = np.dtype(dtype)
        self._free: dict[int, list[np.ndarray]] = defaultdict(list)

    def take(self, *shape: int) -> Tensor:
        """A tensor of this shape, contiguous, of any content."""
        size = math.prod(shape)
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(size, self._dtype)
        lent = memory[:]  # lives as long as a tensor needs it; `memory` itself lives on
        weakref.finalize(lent, free.append, memory).atexit = False  # type: ignore[misc]
        return torch.from_numpy(lent).view(shape)
