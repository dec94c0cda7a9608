"""A hundred small pictures, and the paper's variation of them."""

from __future__ import annotations

import numpy as np

from alexnet_lab.data.augmentation import Augmentation

SIDE, CROP = 40, 33
IMAGES = np.random.default_rng(0).integers(0, 256, (100, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(100) % 10
MEAN = IMAGES.mean(axis=0, dtype=np.float64).astype(np.float32)
EIGENVALUES = np.array([900.0, 400.0, 100.0])
EIGENVECTORS = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def augmentation(crop: int = CROP, **options: object) -> Augmentation:
    return Augmentation(crop, MEAN, EIGENVALUES, EIGENVECTORS, seed=5, **options)
