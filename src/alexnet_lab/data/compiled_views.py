"""The variation of training pictures on a processor in one pass, from the store's memory map to what is ready.

Operations of PyTorch write a batch and read it again for each step; the loop of views_kernel.py writes it once. Numba
compiles it for the machine it runs on; without Numba there is `Augmentation`, to the same bits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.buffers import Buffers

log = logging.getLogger(__name__)

# Bytes of views in a run, which take the operations a second longer: so long does it compile, the first time.
_WORTH_COMPILING = 2e9


def compiled_views(
    pictures: Any, augmentation: Augmentation, device: torch.device, epochs: int
) -> CompiledViews | None:
    """Views of these pictures by compiled code, or None where `Augmentation` has to make them: on another device, of
    pictures that are no array in the host's memory, with younger augmentations, in a small run, or without Numba.
    The log says which it is on a processor.
    """
    if device.type != "cpu":
        return None
    if not isinstance(pictures, np.ndarray):
        reason = "the pictures are in no memory map"
    elif augmentation.comparison is not None:
        reason = "it is not the paper's variation alone"
    elif epochs * len(pictures) * 12 * augmentation.crops.crop**2 < _WORTH_COMPILING:
        reason = "the run is small"
    elif _kernel() is None:
        reason = "Numba is not installed"
    else:
        log.info("training pictures are varied by code that Numba compiled")
        return CompiledViews(pictures, augmentation)
    log.info("training pictures are varied by PyTorch's operations: %s", reason)
    return None


class CompiledViews:
    """What `augmentation` makes of pictures uint8 (N, H, H, 3) in the host's memory, to the last bit.

    Computes in the thread that calls it, without Python's lock. Raises ImportError where there is no Numba.
    """

    def __init__(self, pictures: NDArray[np.uint8], augmentation: Augmentation) -> None:
        number, side, width, channels = pictures.shape
        self._pictures = np.asarray(pictures).reshape(number, side, width * channels)
        self._augmentation, self._memory = augmentation, Buffers(np.float32)
        self._mean = augmentation.mean.numpy().reshape(2, side, width * channels)
        kernel = _kernel()
        if kernel is None:
            raise ImportError("Numba is not installed")
        self._vary = kernel

    def __call__(self, samples: Tensor, epoch: int) -> Tensor:
        """float32 (N, 3, crop, crop) in channels_last layout, for sample numbers int64 (N,)."""
        if len(samples) and not 0 <= int(samples.min()) <= int(samples.max()) < len(self._pictures):
            raise IndexError(f"pictures {int(samples.min())} to {int(samples.max())} of {len(self._pictures)}")
        crop = self._augmentation.crops.crop
        top, left, mirrored, shift = self._augmentation.variation(samples, epoch)
        shift = torch.zeros(len(samples), 3) if shift is None else shift
        views = self._memory.take(len(samples), crop, crop, 3)
        numbers = (tensor.contiguous().numpy() for tensor in (samples, top, left, mirrored))
        self._vary(self._pictures, *numbers, self._mean, shift.numpy(), views.view(-1, crop, 3 * crop).numpy())
        return views.permute(0, 3, 1, 2)


@cache
def _kernel() -> Callable[..., None] | None:
    """The loop, compiled; None without Numba."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return None
    from alexnet_lab.data.views_kernel import vary

    return vary
