"""What is drawn for each image before it is read, so that no more of it is copied than what is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_lab.data.randomness import normal, uniform


def color_axes(eigenvalues: NDArray[np.float64], eigenvectors: NDArray[np.float64]) -> Tensor:
    """float32 (3, 3), column i: p_i sqrt(l_i), of the covariance of the training pixels' colours."""
    return torch.tensor(eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0)), dtype=torch.float32)


@dataclass(frozen=True)
class Variation:
    """The paper's variation (section 4.1) of stored images of `side` pixels; as it stands, their centre and no more.

    random_crop: at offsets 0 .. side - crop in each direction. flip: half are mirrored. color_noise: standard
    deviation of a_i from N(0, color_noise^2), by which each image's colours change by sum_i(a_i color_axes[:, i]), in
    epochs below color_noise_epochs alone. An image's draws depend on (seed, epoch, sample) alone.
    """

    side: int
    crop: int
    seed: int = 0
    random_crop: bool = False
    flip: bool = False
    color_noise: float = 0.0
    color_noise_epochs: float = math.inf
    color_axes: Tensor | None = None

    def draw(self, samples: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """For sample numbers int64 (N,): the crop's (top, left) in pixels and whether it is mirrored, int64 (N,) each;
        change of the colours float32 (N, 3), if any.
        """
        draws = uniform(self.seed, epoch, samples, 9)
        top = left = torch.full_like(samples, (self.side - self.crop) // 2)
        mirrored, shift = torch.zeros_like(samples), None
        if self.random_crop:
            top, left = (draws[:, :2] * (self.side - self.crop + 1)).long().unbind(1)
        if self.flip:
            mirrored = (draws[:, 2] < 0.5).long()
        if self.color_axes is not None and self.color_noise and epoch < self.color_noise_epochs:
            # Written out, because a product of matrices rounds as the size of the batch has it.
            a = (normal(draws[:, 3:9].contiguous()).float() * self.color_noise)[:, None, :] * self.color_axes
            shift = a[:, :, 0] + a[:, :, 1] + a[:, :, 2]
        return top, left, mirrored, shift
