"""The paper's variation of training images (section 4.1), as batch operations on the device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from alexnet_lab.data.buffers import Buffers
from alexnet_lab.data.extra_augmentations import ExtraAugmentations
from alexnet_lab.data.reader import Batch

_CACHED = 2_500_000  # bytes of views that stay in a processor's cache from one operation to the next


@cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Threads of this process in each of which PyTorch computes alone."""
    return ThreadPoolExecutor(number, "augmentation", initializer=torch.set_num_threads, initargs=(1,))


class Augmentation(nn.Module):
    """A batch to the network's input: what was drawn for each image is applied, and the mean image subtracted.

    Input: batches of crops (N, crop, crop, 3); in training with random resized crops, of whole images.
    Output: float32 (N, 3, crop, crop) in channels_last layout, on the scale of 0..255 pixels.
    extra: younger augmentations, in training mode; those of pixels come before the mean is subtracted, erasing
    comes last. An image's result does not depend on the batch that it is in.
    """

    mean: Tensor

    def __init__(self, crop: int, pixel_mean: np.ndarray, extra: ExtraAugmentations | None = None) -> None:
        super().__init__()
        self.crop, self.extra = crop, extra
        both = np.stack([pixel_mean, pixel_mean[:, ::-1]])  # as it is and mirrored
        self.register_buffer("mean", torch.tensor(both, dtype=torch.float32), persistent=False)
        self._memory = Buffers(np.float32)

    def forward(self, batch: Batch, epoch: int) -> Tensor:
        images, top, left = batch.images, batch.top, batch.left
        extra = self.extra if self.training else None
        if extra is not None:
            images = extra.of_pixels(images, batch.samples, epoch)
            if extra.random_resized_crop:  # no offset in the mean image is its own: the centre is subtracted
                top = left = torch.full_like(top, (self.mean.shape[1] - self.crop) // 2)
        views = self._on_processor if images.device.type == "cpu" else self._on_device
        varied = views(images, top, left, batch.mirrored, batch.shift).permute(0, 3, 1, 2)
        return varied if extra is None else extra.of_views(varied, batch.samples, epoch)

    def _on_processor(
        self, images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, shift: Tensor | None
    ) -> Tensor:
        """A few images at a time, which stay in the cache from one operation to the next, by one thread per core.

        PyTorch's own threads would wait for each other in every one of these small operations.
        """
        side, crop = self.mean.shape[1], self.crop
        views = self._memory.take(len(images), crop, crop, 3)
        drawn = list(zip(top.tolist(), left.tolist(), mirrored.tolist(), strict=True))
        rows = None if shift is None else shift.repeat(1, crop).view(-1, 1, 3 * crop)
        together = max(1, _CACHED // (12 * crop * crop))  # images: 4 of 224 pixels
        inference = torch.is_inference_mode_enabled()  # which each thread has to be told

        def vary(start: int) -> None:
            these = slice(start, start + together)
            seen, means = [], []
            for image, (y, x, flipped) in zip(images[these].unbind(), drawn[these], strict=True):
                if flipped:
                    image, x = image.flip(1), side - crop - x
                corner = self.mean.storage_offset() + ((flipped * side + y) * side + x) * 3
                seen.append(image)
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
        """The whole batch in a few launches: one gather from the crops and one from the mean."""
        along = torch.arange(self.crop, device=images.device)
        columns = torch.where(mirrored[:, None] == 1, along.flip(0), along)
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        views = images[batch, along[:, None], columns[:, None, :]].float()
        views -= self.mean[0][(top[:, None] + along)[:, :, None], (left[:, None] + columns)[:, None, :]]
        if shift is not None:
            views += shift[:, None, None, :]
        return views
