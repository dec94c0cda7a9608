"""From sample numbers to a batch of pictures: the one place where pixels leave the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.parallel import map_in_order
from alexnet_lab.data.buffers import Buffers
from alexnet_lab.data.compiled_views import CompiledViews
from alexnet_lab.data.crops import Crops

log = logging.getLogger(__name__)

# Pictures that a thread reads at once, in several batches where these are small: each call has its cost.
_TOGETHER = 128


class Batch(NamedTuple):
    """images uint8 (N, h, h, 3), crops or whole, or float32 (N, 3, crop, crop), varied already; labels int64 (N,);
    samples int64 (N,), their numbers in the split.
    """

    images: Tensor
    labels: Tensor
    samples: Tensor


def _split(batch: Batch, lengths: list[int]) -> list[Batch]:
    return [Batch(*parts) for parts in zip(*(tensor.split(lengths) for tensor in batch), strict=True)]


def _in_turn(groups: Iterator[list[Batch | UserError]]) -> Iterator[Batch]:
    for batch in chain.from_iterable(groups):
        if isinstance(batch, UserError):
            raise batch
        yield batch


class PictureReader:
    """Reads batches out of a split of the store. Only the crop of each picture is copied, ahead of time by `workers`
    threads (0: when it is asked for).

    images: uint8 (N, H, H, 3), an array or memory map, whose pages all processes of a machine share; or a tensor
    on a device, from which whole pictures are gathered there. crops=None: whole pictures.
    pin: into page-locked memory, from which a GPU copies while it computes.
    views: what makes the varied views of sample numbers in an epoch, in place of crops.
    """

    def __init__(
        self,
        images: Any,
        labels: np.ndarray,
        crops: Crops | None = None,
        *,
        workers: int = 0,
        pin: bool = False,
        views: CompiledViews | None = None,
    ) -> None:
        self.images, self.labels, self.crops, self.workers, self.pin = images, labels, crops, workers, pin
        self.views, self._buffers = views, Buffers(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, samples: Callable[[int], np.ndarray], numbers: Sequence[int], epoch: int) -> Iterator[Batch]:
        """The batches of these numbers, in order, read ahead; `samples(number)` are the pictures of one.

        What goes wrong in a thread is raised when its batch is due, as a UserError of one line.
        """
        if not self.workers:
            return (self.read(samples(number), epoch) for number in numbers)

        def read(together: Sequence[int]) -> list[Batch | UserError]:
            try:
                parts = [samples(number) for number in together]
                return [*_split(self.read(np.concatenate(parts), epoch), [len(part) for part in parts])]
            except BaseException as error:  # SystemExit too: nobody may wait for a thread that has ended
                if len(together) > 1:  # which of them was it?
                    return [*chain.from_iterable(read([number]) for number in together)]
                if isinstance(error, UserError):
                    return [error]
                log.debug("batch %d of epoch %d", together[0], epoch, exc_info=True)
                return [UserError(f"batch {together[0]} of epoch {epoch} could not be read: {error!r}")]

        several = max(1, _TOGETHER // len(samples(numbers[0]))) if numbers else 1
        groups = [numbers[start : start + several] for start in range(0, len(numbers), several)]
        return _in_turn(map_in_order(read, groups, self.workers))

    def read(self, samples: np.ndarray, epoch: int) -> Batch:
        """One batch of the pictures `samples`, int64 (N,), cropped as they are in this epoch."""
        numbers, labels = torch.from_numpy(samples.astype(np.int64)), torch.from_numpy(self.labels[samples])
        if self.views is not None:
            return Batch(self.views(numbers, epoch), labels, numbers)
        if isinstance(self.images, Tensor):
            device = self.images.device
            numbers = numbers.to(device)
            return Batch(self.images[numbers], labels.to(device), numbers)
        side = self.crops.crop if self.crops is not None else self.images.shape[1]
        pixels = self._memory(len(samples), side)
        if self.crops is None:
            places = [(0, 0)] * len(samples)
        else:
            places = torch.stack(self.crops.places(numbers, epoch), 1).tolist()
        for target, sample, (top, left) in zip(pixels.numpy(), samples.tolist(), places, strict=True):
            target[...] = self.images[sample][top : top + side, left : left + side]
        if self.pin:
            numbers, labels = numbers.pin_memory(), labels.pin_memory()
        return Batch(pixels, labels, numbers)

    def _memory(self, pictures: int, side: int) -> Tensor:
        if self.pin:  # PyTorch keeps page-locked memory for the next batch by itself
            return torch.empty(pictures, side, side, 3, dtype=torch.uint8, pin_memory=True)
        return self._buffers.take(pictures, side, side, 3)
