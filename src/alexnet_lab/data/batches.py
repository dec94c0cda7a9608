"""Which pictures form which batch, and their bytes, read from the packed store's memory maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Batch(NamedTuple):
    """images uint8 (N, H, H, 3), labels int64 (N,), samples int64 (N,): each picture's number in its split."""

    images: Tensor
    labels: Tensor
    samples: Tensor


class EpochOrder:
    """The order of the training pictures: a permutation of their numbers, fixed by (seed, epoch)."""

    def __init__(self, pictures: int, seed: int) -> None:
        self.pictures, self.seed, self.epoch = pictures, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self) -> np.ndarray:
        return np.random.Generator(np.random.Philox(key=[self.seed, self.epoch])).permutation(self.pictures)


class TrainBatches:
    """Batches of one epoch. Rank r of W takes the r-th W-th of each global batch, so their union is the
    batch that one device would see. What does not fill a global batch at the end of an epoch is left for
    other epochs, whose order differs.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        if batch_size % ranks:
            raise ValueError(f"a batch of {batch_size} pictures cannot be shared equally by {ranks} ranks")
        self.images, self.labels, self.batch_size, self.rank, self.ranks = images, labels, batch_size, rank, ranks
        self.sampler = EpochOrder(len(labels), seed)  # under this name Lightning tells it the epoch

    def __len__(self) -> int:
        return len(self.labels) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        order, share = self.sampler.permutation(), self.batch_size // self.ranks
        for batch in range(len(self)):
            first = batch * self.batch_size + self.rank * share
            yield gather(self.images, self.labels, order[first : first + share])


class EvaluationBatches:
    """Every picture exactly once: rank r of W takes pictures r, r + W, r + 2 W, ... No sample is repeated
    to make batches even, so error counts are exact under any number of ranks.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.mine = np.arange(rank, len(labels), ranks)

    def __len__(self) -> int:
        return -(-len(self.mine) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.mine), self.batch_size):
            yield gather(self.images, self.labels, self.mine[first : first + self.batch_size])


def gather(images: np.ndarray, labels: np.ndarray, samples: np.ndarray) -> Batch:
    """Copy the given pictures out of the memory map."""
    return Batch(
        torch.from_numpy(images[samples]), torch.from_numpy(labels[samples]), torch.from_numpy(samples.astype(np.int64))
    )
