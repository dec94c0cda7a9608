"""A hundred small images, and the paper's variation of them."""

from __future__ import annotations

import math

import numpy as np
import torch

from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.reader import Batch, ImageReader
from alexnet_lab.data.variation import Variation, color_axes

SIDE, CROP = 40, 33
IMAGES = np.random.default_rng(0).integers(0, 256, (100, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(100) % 10
MEAN = IMAGES.mean(axis=0, dtype=np.float64).astype(np.float32)
EIGENVALUES = np.array([900.0, 400.0, 100.0])
EIGENVECTORS = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def variation(
    crop: int = CROP,
    *,
    random_crop: bool = True,
    flip: bool = True,
    color_noise: float = 0.1,
    color_noise_epochs: float = math.inf,
) -> Variation:
    axes = color_axes(EIGENVALUES, EIGENVECTORS)
    return Variation(SIDE, crop, 5, random_crop, flip, color_noise, color_noise_epochs, axes)


def augmentation(crop: int = CROP) -> Augmentation:
    return Augmentation(crop, MEAN)


def read(samples: np.ndarray, epoch: int = 0, images: object = IMAGES, **options: object) -> Batch:
    """A batch as a loader gives it."""
    return ImageReader(images, LABELS, variation(**options)).read(samples, epoch)


def views(samples: np.ndarray, epoch: int = 0, images: object = IMAGES, **options: object) -> torch.Tensor:
    """What the network sees."""
    return augmentation()(read(samples, epoch, images, **options), epoch)
