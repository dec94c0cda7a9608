"""From sample numbers to a batch of images: pixels leave the store here and nowhere else."""

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
from alexnet_lab.data.variation import Variation

log = logging.getLogger(__name__)

# Images that a thread reads at once, in several batches where these are small: each call has its cost.
_TOGETHER = 128


class Batch(NamedTuple):
    """images uint8 (N, crop, crop, 3), as they are stored; labels int64 (N,); samples int64 (N,), their numbers in the
    split; and what Variation.draw has drawn for them: images are taken at (top, left), all else is yet to be done.
    """

    images: Tensor
    labels: Tensor
    samples: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor
    shift: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """With every tensor changed."""
        images, labels, samples, top, left, mirrored = map(change, self[:6])
        shift = None if self.shift is None else change(self.shift)
        return Batch(images, labels, samples, top, left, mirrored, shift)


def _split(batch: Batch, lengths: list[int]) -> list[Batch]:
    fields = ([None] * len(lengths) if tensor is None else tensor.split(lengths) for tensor in batch)
    return [Batch(*parts) for parts in zip(*fields, strict=True)]


def _in_turn(groups: Iterator[list[Batch | UserError]]) -> Iterator[Batch]:
    for batch in chain.from_iterable(groups):
        if isinstance(batch, UserError):
            raise batch
        yield batch


class ImageReader:
    """Reads batches out of a split of the store. Only the crop of each image is copied, ahead of time by `workers`
    threads (0: when it is asked for).

    images: uint8 (N, H, H, 3), an array or memory map, whose pages all processes of a machine share; or a tensor
    on a device, from which they are gathered there. variation=None: whole images.
    pin: into page-locked memory, from which a GPU copies while it computes.
    """

    def __init__(
        self,
        images: Any,
        labels: np.ndarray,
        variation: Variation | None = None,
        *,
        workers: int = 0,
        pin: bool = False,
    ) -> None:
        self.images, self.labels, self.workers, self.pin = images, labels, workers, pin
        self.variation = variation or Variation(images.shape[1], images.shape[1])
        self._buffers = Buffers(np.uint8)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, samples: Callable[[int], np.ndarray], numbers: Sequence[int], epoch: int) -> Iterator[Batch]:
        """The batches of these numbers, in order, read ahead; `samples(number)` are the images of one.

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
        """One batch of the images `samples`, int64 (N,), with what is drawn for them in this epoch."""
        numbers, labels = torch.from_numpy(samples.astype(np.int64)), torch.from_numpy(self.labels[samples])
        drawn = self.variation.draw(numbers, epoch)  # here on any device: its logarithms and cosines round otherwise
        top, left, crop = drawn[0], drawn[1], self.variation.crop
        if isinstance(self.images, Tensor):
            windows = self.images.unfold(1, crop, 1).unfold(2, crop, 1).permute(0, 1, 2, 4, 5, 3)
            device = self.images.device
            pixels = windows[numbers.to(device), top.to(device), left.to(device)]
            return Batch(pixels, labels, numbers, *drawn).each(lambda tensor: tensor.to(device))
        pixels = self._memory(len(samples), crop)
        for target, sample, y, x in zip(pixels.numpy(), samples.tolist(), top.tolist(), left.tolist(), strict=True):
            target[...] = self.images[sample][y : y + crop, x : x + crop]
        batch = Batch(pixels, labels, numbers, *drawn)
        return batch.each(Tensor.pin_memory) if self.pin else batch

    def _memory(self, images: int, side: int) -> Tensor:
        if self.pin:  # PyTorch keeps page-locked memory for the next batch by itself
            return torch.empty(images, side, side, 3, dtype=torch.uint8, pin_memory=True)
        return self._buffers.take(images, side, side, 3)
