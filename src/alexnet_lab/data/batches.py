"""Which images form which batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from alexnet_lab.data.reader import Batch, ImageReader


def limited(batches: int, limit: float | None) -> int:
    """How many batches a limit leaves: a whole number of them, or a part below 1, one at least; None: all."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else max(1, int(batches * limit))


class EpochOrder:
    """The order of the training images: a permutation of their numbers, fixed by (seed, epoch)."""

    def __init__(self, images: int, seed: int, same_each_epoch: bool = False) -> None:
        self.images, self.seed, self.epoch, self.same_each_epoch = images, seed, 0, same_each_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self) -> np.ndarray:
        epoch = 0 if self.same_each_epoch else self.epoch
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.images)


class TrainBatches:
    """Batches of one epoch. Rank r of W takes the r-th W-th of each global batch, so their union is the
    batch that one device would see. What does not fill a global batch at the end of an epoch is left for
    other epochs, whose order differs.

    Lightning keeps `state_dict` in checkpoints: {"epoch", "batches"}, how many batches of which epoch were
    taken. After `load_state_dict` that epoch begins behind them, for any number of ranks; other epochs are whole.

    batches: of an epoch, None for all. same_each_epoch: each epoch has the images of the first, in their order.
    """

    def __init__(
        self,
        reader: ImageReader,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
        batches: int | None = None,
        same_each_epoch: bool = False,
    ) -> None:
        if batch_size % ranks:
            raise ValueError(f"a batch of {batch_size} images cannot be shared equally by {ranks} ranks")
        self.reader, self.batch_size, self.rank, self.ranks = reader, batch_size, rank, ranks
        self.batches = limited(len(reader) // batch_size, batches)
        self.sampler = EpochOrder(len(reader), seed, same_each_epoch)  # under this name Lightning tells it the epoch
        self._taken = self._start = (0, 0)  # epoch, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        epoch, (start_epoch, start) = self.sampler.epoch, self._start
        self._start = (0, 0)  # an epoch is continued once
        order, share = self.sampler.permutation(), self.batch_size // self.ranks

        def samples(batch: int) -> np.ndarray:
            first = batch * self.batch_size + self.rank * share
            return order[first : first + share]

        numbers = range(start if epoch == start_epoch else 0, len(self))
        for number, batch in zip(numbers, self.reader.batches(samples, numbers, epoch), strict=True):
            self._taken = (epoch, number + 1)
            yield batch

    def state_dict(self) -> dict[str, int]:
        return dict(zip(("epoch", "batches"), self._taken, strict=True))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._taken = self._start = (int(state["epoch"]), int(state["batches"]))


class EvaluationBatches:
    """Every image exactly once: rank r of W takes images r, r + W, r + 2 W, ... No sample is repeated
    to make batches even, so error counts are exact under any number of ranks. limit: as in `limited`, of each rank's.
    """

    def __init__(
        self, reader: ImageReader, batch_size: int, rank: int = 0, ranks: int = 1, limit: float | None = None
    ) -> None:
        self.reader, self.batch_size, self.limit = reader, batch_size, limit
        self.mine = np.arange(rank, len(reader), ranks)

    def __len__(self) -> int:
        return limited(-(-len(self.mine) // self.batch_size), self.limit)

    def __iter__(self) -> Iterator[Batch]:
        def samples(batch: int) -> np.ndarray:
            return self.mine[batch * self.batch_size : (batch + 1) * self.batch_size]

        return self.reader.batches(samples, range(len(self)), 0)
