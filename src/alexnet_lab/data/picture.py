"""A picture file of any mode and size as a square of RGB pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps


class UnreadablePicture(Exception):  # noqa: N818
    """A file that is not a whole picture; the message is the reason in one line."""


def read_square(path: Path, side: int) -> NDArray[np.uint8]:
    """The picture's middle as uint8 [side, side, 3], red, green, blue.

    Turned upright by its EXIF orientation; the shorter side resized to `side` (bicubic, antialiased) and the
    longer one cropped to its middle, in one step. Transparent parts lie over white; palettes, greyscale and
    CMYK become RGB, 16-bit greyscale keeps its upper 8 bits, colour profiles are ignored; of an animation
    the first frame is taken. JPEGs are decoded at a half, quarter or eighth of their size where that still
    leaves twice the pixels that are needed. Raises UnreadablePicture.
    """
    try:
        with Image.open(path) as image:
            image.draft(None, (2 * side, 2 * side))
            upright = _as_rgb(ImageOps.exif_transpose(image))
            width, height = upright.size
            square = min(width, height)
            left, top = (width - square) / 2, (height - square) / 2
            box = (left, top, left + square, top + square)
            return np.asarray(upright.resize((side, side), Image.Resampling.BICUBIC, box=box))
    except UnreadablePicture:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        reason = " ".join(str(error).replace(str(path), "the file").split())
        raise UnreadablePicture(f"{type(error).__name__}: {reason}") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB."""
    if image.mode == "F":
        raise UnreadablePicture("floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip them at 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadablePicture("pixels of more than 16 bits, whose range is unknown")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
