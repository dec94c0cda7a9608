"""The mean training picture and the covariance of its colours, from exact sums of integers.

Exact sums do not depend on the order in which pictures arrive, nor on the machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


class PixelStatistics:
    """Sums over the pictures added so far; colours on the 0-255 scale."""

    def __init__(self, image_size: int) -> None:
        self._count = 0
        self._sum = np.zeros((image_size, image_size, 3), dtype=np.uint64)
        self._products = dict.fromkeys(_PAIRS, 0)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Count pictures uint8 [n, H, W, 3]."""
        self._count += len(images)
        for image in images:  # one by one: what is read stays in the processor's cache
            self._sum += image
            channels = [np.ascontiguousarray(image[..., channel], dtype=np.uint16) for channel in range(3)]
            for first, second in _PAIRS:  # 255 * 255 fits 16 bits
                self._products[first, second] += int((channels[first] * channels[second]).sum(dtype=np.uint64))

    def pixel_mean(self) -> NDArray[np.float32]:
        """The mean picture, float32 [H, W, 3]; zeros when there were no pictures."""
        return (self._sum / max(1, self._count)).astype(np.float32)

    def color_facts(self) -> dict[str, Any]:
        """Mean, covariance, eigenvalues (descending) and eigenvectors (columns) of the pixels' RGB, as JSON types."""
        pixels = max(1, self._count * self._sum.shape[0] * self._sum.shape[1])
        sums = [int(self._sum[..., channel].sum(dtype=np.uint64)) for channel in range(3)]
        covariance = np.zeros((3, 3))
        for (first, second), product in self._products.items():
            # Whole numbers until the one division, which rounds once.
            value = (pixels * product - sums[first] * sums[second]) / (pixels * pixels)
            covariance[first, second] = covariance[second, first] = value
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
        eigenvalues, eigenvectors = np.maximum(eigenvalues[::-1], 0.0), eigenvectors[:, ::-1]
        # An eigenvector's sign is arbitrary: the one whose largest part is positive is taken.
        largest = np.take_along_axis(eigenvectors, np.abs(eigenvectors).argmax(axis=0)[np.newaxis], axis=0)
        eigenvectors = eigenvectors * np.where(largest < 0, -1.0, 1.0)
        return {
            "mean": [total / pixels for total in sums],
            "covariance": covariance.tolist(),
            "eigenvalues": eigenvalues.tolist(),
            "eigenvectors": eigenvectors.tolist(),
        }
