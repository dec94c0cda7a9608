"""The paper's variation of training pictures (section 4.1), as batch operations on the device."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from alexnet_lab.data.buffers import Buffers
from alexnet_lab.data.comparison_transforms import ComparisonTransforms
from alexnet_lab.data.crops import Crops
from alexnet_lab.data.randomness import normal, uniform

_CACHED = 2_500_000  # bytes of views that stay in a processor's cache from one operation to the next


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Threads of this process in each of which PyTorch computes alone."""
    return ThreadPoolExecutor(number, "augmentation", initializer=torch.set_num_threads, initargs=(1,))


class Augmentation(nn.Module):
    """Stored uint8 pictures to the network's input: mean subtracted, cropped, mirrored, colours shifted.

    Input: images uint8 (N, H, H, 3), or (N, crop, crop, 3) where the loader has taken the same crops already, or the
    float32 output itself where it has done all of it (compiled_views.py);
    samples int64 (N,), each picture's number in its collection.
    Output: float32 (N, 3, crop, crop) in channels_last layout, on the scale of 0..255 pixels.
    In training mode crops start at offsets 0 .. H - crop in each direction, half are mirrored, and each
    gets sum_i(p_i a_i sqrt(l_i)), with (p_i, l_i) the eigenvectors and eigenvalues of the training
    pixels' covariance and a_i from N(0, color_noise^2); the latter in epochs below color_noise_epochs alone.
    comparison: younger augmentations; those of pixels come before the mean is subtracted, erasing comes last.
    In evaluation mode: the centre crop. A picture's result does not depend on the batch that it is in.
    """

    mean: Tensor
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
        comparison: ComparisonTransforms | None = None,
    ) -> None:
        super().__init__()
        self.crops = Crops(len(pixel_mean), crop, seed, random_crop)
        self.comparison = comparison
        if comparison is not None and comparison.random_resized_crop:
            self.crops = replace(self.crops, random=False)  # then the mean picture's centre is what is subtracted
        self.flip, self.color_noise, self.color_noise_epochs = flip, color_noise, color_noise_epochs
        axes = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))  # column i: p_i sqrt(l_i)
        both = np.stack([pixel_mean, pixel_mean[:, ::-1]])  # as it is and mirrored
        self.register_buffer("mean", torch.tensor(both, dtype=torch.float32), persistent=False)
        self.register_buffer("color_axes", torch.tensor(axes, dtype=torch.float32), persistent=False)
        self._memory = Buffers(np.float32)

    def variation(self, samples: Tensor, epoch: int) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """(top, left) in pixels and whether mirrored, int64 (N,) each; change of the colours float32 (N, 3), if any."""
        mirrored, shift = torch.zeros_like(samples), None
        if not self.training:
            return *replace(self.crops, random=False).places(samples, epoch), mirrored, shift
        draws = uniform(self.crops.seed, epoch, samples, 9)
        top, left = self.crops.at(draws) if self.crops.random else self.crops.places(samples, epoch)
        if self.flip:
            mirrored = (draws[:, 2] < 0.5).long()
        if self.color_noise and epoch < self.color_noise_epochs:
            # Written out, because a product of matrices rounds as the size of the batch has it.
            a = (normal(draws[:, 3:9].contiguous()).float() * self.color_noise)[:, None, :] * self.color_axes
            shift = a[:, :, 0] + a[:, :, 1] + a[:, :, 2]
        return top, left, mirrored, shift

    def forward(self, images: Tensor, samples: Tensor, epoch: int) -> Tensor:
        if images.is_floating_point():
            return images
        top, left, mirrored, shift = self.variation(samples, epoch)
        comparison = self.comparison if self.training else None
        if comparison is not None:
            if not comparison.random_resized_crop:
                images = self._cropped(images, top, left)
            images = comparison.of_pixels(images, samples, epoch)
        views = self._on_processor if images.device.type == "cpu" else self._on_device
        varied = views(images, top, left, mirrored, shift).permute(0, 3, 1, 2)
        return varied if comparison is None else comparison.of_views(varied, samples, epoch)

    def _cropped(self, images: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """The crops, where the loader has not taken them already."""
        crop = self.crops.crop
        if images.shape[1] == crop:
            return images
        places = zip(images, top.tolist(), left.tolist(), strict=True)
        return torch.stack([image[y : y + crop, x : x + crop] for image, y, x in places])

    def _on_processor(
        self, images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, shift: Tensor | None
    ) -> Tensor:
        """A few pictures at a time, which stay in the cache from one operation to the next, by a thread a core.

        PyTorch's own threads would wait for each other in every one of these small operations.
        """
        side, crop = self.crops.side, self.crops.crop
        views = self._memory.take(len(images), crop, crop, 3)
        places = list(zip(top.tolist(), left.tolist(), mirrored.tolist(), strict=True))
        rows = None if shift is None else shift.repeat(1, crop).view(-1, 1, 3 * crop)
        together = max(1, _CACHED // (12 * crop * crop))  # pictures: 4 of 224 pixels
        inference = torch.is_inference_mode_enabled()  # which each thread has to be told

        def vary(start: int) -> None:
            these = slice(start, start + together)
            seen, means = [], []
            for picture, (y, x, flipped) in zip(images[these].unbind(), places[these], strict=True):
                if images.shape[1] != crop:
                    picture = picture[y : y + crop, x : x + crop]
                if flipped:
                    picture, x = picture.flip(1), side - crop - x
                corner = self.mean.storage_offset() + ((flipped * side + y) * side + x) * 3
                seen.append(picture)
                means.append(self.mean.as_strided((crop, crop, 3), (side * 3, 3, 1), corner))
            targets = views[these].unbind()
            torch._foreach_copy_(targets, seen)
            torch._foreach_sub_(targets, means)
            if rows is not None:
                lines = views[these].view(-1, crop, 3 * crop).unbind()
                torch._foreach_add_(lines, rows[these].expand(-1, crop, -1).unbind())

        def vary_part(part: range) -> None:
            with torch.inference_mode(inference):
                for start in part:
                    vary(start)

        starts, threads = range(0, len(images), together), torch.get_num_threads()
        if len(starts) > 1 and threads > 1:
            share = -(-len(starts) // threads)
            list(_threads(threads).map(vary_part, (starts[i : i + share] for i in range(0, len(starts), share))))
        else:
            vary_part(starts)
        return views

    def _on_device(self, images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, shift: Tensor | None) -> Tensor:
        """The whole batch in a few launches: one gather from the pictures and the same from the mean."""
        number, crop = len(images), self.crops.crop
        along = torch.arange(crop, device=images.device)
        columns = torch.where(mirrored[:, None] == 1, along.flip(0), along)
        batch = torch.arange(number, device=images.device)[:, None, None]
        rows, columns_of_picture = along.expand(number, -1), columns
        if images.shape[1] != crop:
            rows, columns_of_picture = rows + top[:, None], columns + left[:, None]
        views = images[batch, rows[:, :, None], columns_of_picture[:, None, :]].float()
        views -= self.mean[0][(top[:, None] + along)[:, :, None], (left[:, None] + columns)[:, None, :]]
        if shift is not None:
            views += shift[:, None, None, :]
        return views
