"""What preparing a picture takes, by faster code than Pillow's and NumPy's, to the last bit the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.data.picture import is_turned, outside


class CompiledPictures:
    """Decodes JPEGs, resizes to squares of `side` pixels and counts colours.

    Raises ImportError where simplejpeg or Numba is not installed. Without them preparation takes Pillow and NumPy.
    """

    def __init__(self, side: int) -> None:
        import simplejpeg

        from alexnet_lab.data import picture_kernels

        self._side, self._kernels, self._decode = side, picture_kernels, simplejpeg.decode_jpeg

    def decoded(self, file: bytes, image: Image.Image) -> NDArray[np.uint8] | None:
        """The pixels [H, W, 3] of a file that Pillow has opened, not loaded, as `image`, at the size that this has.

        None: Pillow has to do it, for it is no upright JPEG in RGB or greyscale, or so much as a warning comes up.
        """
        if image.format != "JPEG" or image.mode not in ("RGB", "L") or is_turned(image):
            return None
        width, height = image.size
        try:
            pixels = self._decode(file, "RGB", min_height=height, min_width=width, strict=True)
        except ValueError:
            return None
        return pixels if pixels.shape == (height, width, 3) else None

    def square(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As picture.square: the middle of [H, W, 3] as [side, side, 3]."""
        height, width, _ = pixels.shape
        square = np.empty((self._side, self._side, 3), dtype=np.uint8)
        lines = np.ascontiguousarray(pixels).reshape(height, 3 * width)
        left, top = (outside(size, min(width, height), self._side) for size in (width, height))
        self._kernels.resize(lines, left, top, square.reshape(self._side, 3 * self._side))
        return square

    def count(self, images: NDArray[np.uint8], sums: NDArray[np.uint16], products: NDArray[np.int64]) -> None:
        """Add pictures [n, H, W, 3] to the sums [H, W, 3] of each value, and [3, 3] of colours' products."""
        number, height, width, _ = images.shape
        lines = np.ascontiguousarray(images).reshape(number, height, 3 * width)
        self._kernels.count(lines, sums.reshape(height, 3 * width), products)
