"""Where the images lie while a run goes: in the store's memory map, or in the device's own memory."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet_lab.core.errors import UserError

log = logging.getLogger(__name__)

_SHARE_OF_FREE_MEMORY = 0.5  # the rest is for the network's activations
_AT_ONCE = 1024  # images, so that a collection larger than the host's memory passes through it


def placed(images: Any, placement: str, device: torch.device) -> Any:
    """The images uint8 (N, H, H, 3) themselves ("disk"), or a tensor of them on the device ("device").

    "auto" takes a GPU where they fill at most half of its free memory. Raises UserError where they do not fit.
    """
    size = len(images) * int(np.prod(images.shape[1:]))
    if placement == "auto":
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        placement = "device" if size <= _SHARE_OF_FREE_MEMORY * free else "disk"
    if placement == "disk":
        log.info("%d images (%.2f GB) are read through a memory map", len(images), size / 1e9)
        return images
    log.info("%d images (%.2f GB) lie in the memory of %s", len(images), size / 1e9, device)
    try:
        return _copy(images, device)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error):
            raise
        raise UserError(
            f"data.placement=device: {size / 1e9:.2f} GB of images do not fit into {device}; use data.placement=disk"
        ) from None


def _copy(images: Any, device: torch.device) -> Tensor:
    copy = torch.empty(tuple(images.shape), dtype=torch.uint8, device=device)
    for start in range(0, len(images), _AT_ONCE):
        part = np.ascontiguousarray(images[np.arange(start, min(start + _AT_ONCE, len(images)))])
        copy[start : start + _AT_ONCE] = torch.from_numpy(part)
    return copy
