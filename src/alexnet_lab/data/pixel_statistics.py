"""The mean training image and the covariance of its colours, from exact sums of integers.

Exact sums do not depend on the order in which images arrive, on who added them, nor on the machine.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_IMAGES_OF_16_BITS = 257  # 257 x 255 is the largest sum that 16 bits hold


class PixelStatistics:
    """Sums over the images added so far; colours on the 0-255 scale."""

    def __init__(self, image_size: int, dtype: type[np.unsignedinteger] = np.uint64) -> None:
        """dtype: np.uint32 for at most 16 million images, half as much to send from process to process."""
        self._count = 0
        self._sum: NDArray[np.unsignedinteger] = np.zeros((image_size, image_size, 3), dtype=dtype)
        self._products = np.zeros((3, 3), dtype=np.int64)  # of 1.3 million images of 256 pixels: 5e15 at most

    def add(self, images: NDArray[np.uint8]) -> None:
        """Count images uint8 [n, H, W, 3]."""
        self._count += len(images)
        for first in range(0, len(images), _IMAGES_OF_16_BITS):
            part = np.zeros(self._sum.shape, dtype=np.uint16)
            self._add(images[first : first + _IMAGES_OF_16_BITS], part)
            self._sum += part

    def _add(self, images: NDArray[np.uint8], part: NDArray[np.uint16]) -> None:
        for image in images:  # one by one: it stays in the processor's cache
            part += image
            # Whole numbers below 2^53, which 64-bit floats add without rounding.
            colors = [image[..., channel].ravel().astype(np.float64) for channel in range(3)]
            for one, other in _PAIRS:
                self._products[one, other] += int(colors[one] @ colors[other])

    def merge(self, other: PixelStatistics) -> None:
        """Count what another has counted."""
        self._count += other._count
        self._sum += other._sum
        self._products += other._products

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that is known, to be kept; `restored` takes it back."""
        return {"count": np.int64(self._count), "sum": self._sum, "products": self._products}  # type: ignore[dict-item]

    @classmethod
    def restored(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        statistics = cls(len(arrays["sum"]))
        statistics._count = int(arrays["count"])
        statistics._sum, statistics._products = arrays["sum"], arrays["products"]
        return statistics

    def pixel_mean(self) -> NDArray[np.float32]:
        """The mean image, float32 [H, W, 3]; zeros when there were no images."""
        return (self._sum / max(1, self._count)).astype(np.float32)

    def color_facts(self) -> dict[str, Any]:
        """Mean, covariance, eigenvalues (descending) and eigenvectors (columns) of the pixels' RGB, as JSON types."""
        pixels = max(1, self._count * self._sum.shape[0] * self._sum.shape[1])
        sums = [int(self._sum[..., channel].sum(dtype=np.uint64)) for channel in range(3)]
        covariance = np.zeros((3, 3))
        for one, other in _PAIRS:
            # Python's whole numbers until the one division, which rounds once.
            value = (pixels * int(self._products[one, other]) - sums[one] * sums[other]) / (pixels * pixels)
            covariance[one, other] = covariance[other, one] = value
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
