"""Which part of each stored picture is seen, known before the picture is read, so that nothing else is copied."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet_lab.data.randomness import uniform


@dataclass(frozen=True)
class Crops:
    """Square parts of `crop` pixels of stored pictures of `side` pixels: at random places, or the centre (section 4.1).

    Of the numbers that `uniform(seed, epoch, samples, ...)` draws for a sample, the first two are its place.
    """

    side: int
    crop: int
    seed: int = 0
    random: bool = False

    @property
    def offsets(self) -> int:
        """Possible places in each direction: 33 for 224 pixels out of 256, at 0 to 32."""
        return self.side - self.crop + 1

    @property
    def centre(self) -> int:
        return (self.side - self.crop) // 2

    def places(self, samples: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """(top, left), int64 (N,), for sample numbers int64 (N,), in pixels."""
        if not self.random:
            return torch.full_like(samples, self.centre), torch.full_like(samples, self.centre)
        return self.at(uniform(self.seed, epoch, samples, 2))

    def at(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """(top, left) for numbers that were drawn already, float64 (N, 2 or more)."""
        places = (draws[:, :2] * self.offsets).long()
        return places[:, 0], places[:, 1]
