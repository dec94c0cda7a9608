"""Augmentations younger than the paper, besides its own: torchvision's v2 transforms, seeded by sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import v2

from alexnet_lab.data.randomness import uniform

# Of the numbers that `uniform` draws for a sample, the paper's variation takes the first nine; these are seeds.
_DRAWS, _SEED_OF_PIXELS, _SEED_OF_VIEWS, _SEED_OF_MIXUP, _SEED_OF_OWN = 13, 9, 10, 11, 12


class ExtraAugmentations:
    """Random resized crops, colour jitter and random erasing, each a function of (seed, epoch, sample).

    The transforms draw from PyTorch's generator, which is seeded for each image and put back afterwards.
    random_resized_crop: 8 % to 100 % of the image, aspect ratio 3/4 to 4/3, in place of the paper's crop.
    color_jitter: largest relative change of brightness, contrast and saturation; 0: none.
    random_erasing: probability that 2 % to 33 % of a view becomes the mean colour; 0: none.
    own: transforms of one's own, in their order after those of pixels: uint8 (3, h, w) to the same shape.
    """

    def __init__(
        self,
        crop: int,
        seed: int,
        *,
        random_resized_crop: bool = False,
        color_jitter: float = 0.0,
        random_erasing: float = 0.0,
        own: Sequence[Callable[[Tensor], Tensor]] = (),
    ) -> None:
        self.seed, self.random_resized_crop = seed, random_resized_crop
        pixels: list[Callable[[Tensor], Tensor]] = [v2.RandomResizedCrop(crop)] if random_resized_crop else []
        if color_jitter:
            pixels.append(v2.ColorJitter(color_jitter, color_jitter, color_jitter))
        self._pixels = v2.Compose(pixels) if pixels else None
        self._own = own
        self._views = v2.RandomErasing(random_erasing) if random_erasing else None

    def of_pixels(self, images: Tensor, samples: Tensor, epoch: int) -> Tensor:
        """uint8 (N, h, h, 3) to uint8 (N, crop, crop, 3), or (N, h, h, 3) without random_resized_crop."""
        if self._pixels is None and not self._own:
            return images
        changed = images.permute(0, 3, 1, 2)
        if self._pixels is not None:
            changed = self._each(self._pixels, changed, samples, epoch, _SEED_OF_PIXELS)
        if self._own:
            changed = self._each(self._all_own, changed, samples, epoch, _SEED_OF_OWN)
        return changed.permute(0, 2, 3, 1).contiguous()

    def _all_own(self, image: Tensor) -> Tensor:
        for transform in self._own:
            image = transform(image)
        return image

    def of_views(self, views: Tensor, samples: Tensor, epoch: int) -> Tensor:
        """float32 (N, 3, crop, crop), mean subtracted, to the same."""
        if self._views is None:
            return views
        changed = self._each(self._views, views, samples, epoch, _SEED_OF_VIEWS)
        return changed.contiguous(memory_format=torch.channels_last)

    def _each(
        self, transform: Callable[[Tensor], Tensor], images: Tensor, samples: Tensor, epoch: int, draw: int
    ) -> Tensor:
        with _own_randomness() as generator:
            changed = []
            for image, seed in zip(images, _seeds(self.seed, epoch, samples, draw), strict=True):
                generator.manual_seed(seed)
                changed.append(transform(image))
        return torch.stack(changed)


class Mixup:
    """Mixes each image of a batch, and its label, with its neighbour in a share from Beta(alpha, alpha).

    A function of (seed, epoch, first sample of the batch). Each device mixes what it holds, so with several
    devices other images meet than with one.
    """

    def __init__(self, alpha: float, num_classes: int, seed: int) -> None:
        self.seed, self._mix = seed, v2.MixUp(alpha=alpha, num_classes=num_classes)

    def __call__(self, views: Tensor, labels: Tensor, samples: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """(views, probabilities float32 (N, classes)) from float32 (N, 3, crop, crop) and labels int64 (N,)."""
        with _own_randomness() as generator:
            generator.manual_seed(_seeds(self.seed, epoch, samples[:1], _SEED_OF_MIXUP)[0])
            return self._mix(views, labels)


def _seeds(seed: int, epoch: int, samples: Tensor, draw: int) -> list[int]:
    return (uniform(seed, epoch, samples, _DRAWS)[:, draw] * 2.0**53).long().tolist()


@contextmanager
def _own_randomness() -> Iterator[torch.Generator]:
    """PyTorch's generator on the processor, whose state is put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        yield torch.default_generator
