"""The paper's variation of training pictures (section 4.1), as batch operations on the device."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from alexnet_lab.data.randomness import normal, uniform


class Augmentation(nn.Module):
    """Stored uint8 pictures to the network's input: mean subtracted, cropped, mirrored, colours shifted.

    Input: images uint8 (N, H, H, 3); samples int64 (N,), each picture's number in its collection.
    Output: float32 (N, 3, crop, crop) in channels_last layout, on the scale of 0..255 pixels.
    In training mode crops start at offsets 0 .. H - crop in each direction, half are mirrored, and each
    gets sum_i(p_i a_i sqrt(l_i)), with (p_i, l_i) the eigenvectors and eigenvalues of the training
    pixels' covariance and a_i from N(0, color_noise^2); the latter in epochs below color_noise_epochs alone.
    In evaluation mode: the centre crop.
    """

    pixel_mean: Tensor
    color_axes: Tensor

    def __init__(
        self,
        crop: int,
        pixel_mean: np.ndarray,
        eigenvalues: np.ndarray,
        eigenvectors: np.ndarray,
        *,
        seed: int,
        random_crop: bool = True,
        flip: bool = True,
        color_noise: float = 0.1,
        color_noise_epochs: float = math.inf,
    ) -> None:
        super().__init__()
        self.crop, self.seed = crop, seed
        self.random_crop, self.flip, self.color_noise = random_crop, flip, color_noise
        self.color_noise_epochs = color_noise_epochs
        axes = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))  # column i: p_i sqrt(l_i)
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean, dtype=torch.float32), persistent=False)
        self.register_buffer("color_axes", torch.tensor(axes, dtype=torch.float32), persistent=False)

    def forward(self, images: Tensor, samples: Tensor, epoch: int) -> Tensor:
        number, side = images.shape[0], images.shape[1]
        offsets = side - self.crop + 1
        if not self.training:
            start = (side - self.crop) // 2
            window = slice(start, start + self.crop)
            return (images[:, window, window].float() - self.pixel_mean[window, window]).permute(0, 3, 1, 2)

        draws = uniform(self.seed, epoch, samples, 9)
        if self.random_crop:
            top, left = ((draws[:, i] * offsets).long() for i in (0, 1))
        else:
            top = left = torch.full((number,), (side - self.crop) // 2, device=images.device)
        along = torch.arange(self.crop, device=images.device)
        columns = along.expand(number, -1)
        if self.flip:
            columns = torch.where(draws[:, 2:3] < 0.5, along.flip(0), columns)
        pixels = (top[:, None] + along)[:, :, None] * side + (left[:, None] + columns)[:, None, :]
        # One gather from the batch as a list of pixels, and the same from the mean picture.
        batch = torch.arange(number, device=images.device)[:, None, None] * (side * side)
        x = images.reshape(-1, 3)[batch + pixels].float()
        x -= self.pixel_mean.reshape(-1, 3)[pixels]
        if self.color_noise and epoch < self.color_noise_epochs:
            shift = (normal(draws[:, 3:9]).float() * self.color_noise) @ self.color_axes.T
            x += shift[:, None, None, :]
        return x.permute(0, 3, 1, 2)
