"""A stretch of images in the form in which the store keeps it, with all that is to be known of it.

Made wherever the images are made, on many cores; the one that writes the store only appends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.data.pixel_statistics import PixelStatistics

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Rejected:
    """An image of the source that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Images that follow each other in a split."""

    taken: int  # images of the source that are dealt with, rejected ones included
    labels: NDArray[np.int64]
    content: bytes | memoryview  # of the images, one after another
    sizes: NDArray[np.int64]  # bytes of each image
    sha256: str  # of the content
    statistics: PixelStatistics
    rejected: tuple[Rejected, ...] = ()


def make_chunk(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    packing: str,
    rejected: Sequence[Rejected] = (),
    originals: Sequence[bytes | None] | None = None,
) -> Chunk:
    """Pack images uint8 [n, H, W, 3].

    packing "jpeg": quality 90, colours at half the resolution. originals: files that are JPEGs of the stored
    size already, which are kept as they are. The statistics are those of the images as a reader will see them.
    """
    content: bytes | memoryview
    if packing == "jpeg":
        files = [kept or _jpeg(image) for image, kept in zip(images, originals or [None] * len(images), strict=True)]
        content = b"".join(files)
        sizes = np.array([len(file) for file in files], dtype=np.int64)
        images = np.stack([decoded(file) for file in files]) if files else images
    else:
        content = np.ascontiguousarray(images).data.cast("B") if images.size else b""
        sizes = np.full(len(images), images[0].nbytes if len(images) else 0, dtype=np.int64)
    statistics = PixelStatistics(images.shape[1], np.uint32)
    statistics.add(images)
    return Chunk(
        len(images) + len(rejected),
        np.asarray(labels, dtype=np.int64),
        content,
        sizes,
        hashlib.sha256(content).hexdigest(),
        statistics,
        tuple(rejected),
    )


def decoded(file: bytes | memoryview) -> NDArray[np.uint8]:
    """The pixels [H, W, 3] of a JPEG as the store keeps it."""
    return np.asarray(Image.open(BytesIO(file), formats=("JPEG",)).convert("RGB"))


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=JPEG_QUALITY)  # Pillow halves the colours' resolution
    return stream.getvalue()
