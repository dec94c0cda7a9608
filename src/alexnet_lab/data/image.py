"""An image file of any mode and size as a square of RGB pixels."""

from __future__ import annotations

import contextlib
import importlib
import math
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, GifImagePlugin, Image, ImageOps, TiffImagePlugin

# What Pillow may take a file for, whatever it is called. Left out: formats that start other programs or hold drawings.
_WANTED = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "TGA", "PCX")
for _plugin in ("Jpeg", "Png", "Gif", "Bmp", "Tiff", "WebP", "Avif", "Ppm", "Jpeg2K", "Tga", "Pcx"):
    with contextlib.suppress(ImportError):  # a Pillow that was built without that format
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)

# Pillow refuses more than 178,956,970 pixels, half a GB of memory, as a trap; it warns of half as many, which are read.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

# Pillow's own decoder of uncompressed TIFFs reads planes wrongly and knows no halved colours; libtiff reads all.
TiffImagePlugin.READ_LIBTIFF = True


class UnreadableImage(Exception):  # noqa: N818
    """A file that is not a whole image; the message is the reason in one line."""


def read_square(file: Path | bytes, side: int) -> NDArray[np.uint8]:
    """The image's middle as uint8 [side, side, 3], red, green, blue, from a file or its content.

    Turned upright by its EXIF orientation; the shorter side resized to `side` and the longer one cropped to its
    middle, see `square`. Transparent parts lie over white; palettes, greyscale and CMYK become RGB, of more than
    8 bits the upper 8 are kept, colour profiles are ignored; of an animation the first frame is taken. A kind of
    image whose pixels Pillow does not decode as they are is refused. JPEGs are decoded at a half, quarter or eighth
    of their size where that still leaves twice the pixels that are needed. Raises UnreadableImage.
    """
    try:
        content = file if isinstance(file, bytes) else file.read_bytes()
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            image.draft(None, (2 * side, 2 * side))
            return square(as_rgb(_upright(_loaded(image, content))), side)
    except UnreadableImage:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        if isinstance(error, Image.UnidentifiedImageError):
            raise UnreadableImage("is no image in a format that is read" if content else "is empty") from error
        raise UnreadableImage(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def square_of(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The same of an image that somebody has opened or made. Raises UnreadableImage."""
    try:
        return square(as_rgb(_upright(image)), side)
    except UnreadableImage:
        raise
    except Exception as error:  # as above: its pixels may not have been read yet
        raise UnreadableImage(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def square(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The middle of an RGB image as uint8 [side, side, 3], resized with antialiasing (bilinear).

    First each line, then each column: in one step the order, and with it the rounding, is up to Pillow's version.
    """
    shorter = min(image.size)
    left, top = (outside(size, shorter, side) for size in image.size)
    image = image.crop((left, top, image.width - left, image.height - top))
    width, height = image.size
    x, y = (width - shorter) / 2, (height - shorter) / 2
    narrow = image.resize((side, height), Image.Resampling.BILINEAR, box=(x, 0, x + shorter, height))
    return np.asarray(narrow.resize((side, side), Image.Resampling.BILINEAR, box=(0, y, side, y + shorter)))


def outside(size: int, shorter: int, side: int) -> int:
    """So many pixels at each end of a side of `size` are seen by no pixel of the square: there may be many."""
    return max(0, (size - shorter) // 2 - math.ceil(max(1.0, shorter / side)) - 1)


def is_turned(image: Image.Image) -> bool:
    """Whether an image's EXIF data say that it is not stored upright; damaged ones say nothing."""
    try:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    except Exception:  # as many kinds as there are damages
        return False


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data say; as it is stored where they cannot be followed."""
    if not is_turned(image):
        return image  # exif_transpose would copy it
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above
        return image


def is_stored_size(file: bytes, side: int) -> bool:
    """Whether a file that read_square can read is an upright RGB JPEG of this very size, to be kept as it is."""
    if not file.startswith(b"\xff\xd8"):
        return False
    with Image.open(BytesIO(file), formats=("JPEG",)) as image:
        return image.format == "JPEG" and image.mode == "RGB" and image.size == (side, side) and not image.getexif()


def _loaded(image: Image.Image, file: bytes) -> Image.Image:
    """The pixels of an opened image, put right where Pillow gives others than the file has."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _loaded_tiff(image)
    if image.format == "PNG":
        return _loaded_png(image, bits=file[24])
    if isinstance(image, GifImagePlugin.GifImageFile):
        return _loaded_gif(image)
    if image.format == "BMP":
        bits = int.from_bytes(file[24:26] if file[14] == 12 else file[28:30], "little")
        if image.mode in ("1", "L") and bits != (1 if image.mode == "1" else 8):
            raise UnreadableImage(f"a BMP of {bits} bits a pixel whose palette of greys Pillow takes for other bits")
    if image.format == "JPEG2000" and image.mode not in ("L", "I;16"):
        sizes = file.index(b"\xff\x4f\xff\x51") + 42  # of the channels in bits, less 1, each in 3 bytes
        if any(size & 0x7F > 7 for size in file[sizes : sizes + 3 * len(image.getbands()) : 3]):
            raise UnreadableImage("a JPEG 2000 in colours of more than 8 bits, whose white Pillow decodes as black")
    image.load()
    if image.format == "TGA" and file[17] & 0x0F != 8:  # bits of transparency; Pillow takes any fourth byte for it
        return image.convert("RGB")
    return image


def _loaded_tiff(image: TiffImagePlugin.TiffImageFile) -> Image.Image:
    """16-bit greyscale whose white is 65535; the tags say where Pillow's is not."""
    tags = image.tag_v2
    if image.mode in ("I", "F") or set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))) != {1}:
        raise UnreadableImage("pixels of 32 bits, with a sign or in floating point, whose range is unknown")
    if image.mode in ("LA", "La", "PA") and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2:
        raise UnreadableImage("a TIFF whose transparency is in a plane of its own, which Pillow does not find there")
    image.load()
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image).astype(np.uint16)
    if tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0] == 12:
        values <<= 4
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0:  # white is 0; Pillow knows up to 8 bits
        values = 65535 - values
    return Image.fromarray(values)


def _loaded_png(image: Image.Image, bits: int) -> Image.Image:
    """With the transparent colour, if one is named, on the scale of the pixels."""
    image.load()
    transparent = image.info.get("transparency")
    if transparent is not None and image.mode == "RGB" and bits == 16:
        raise UnreadableImage("16-bit colours of which one is transparent: Pillow decodes only their upper 8 bits")
    if transparent is not None and image.mode == "L" and bits < 8:
        top = (1 << bits) - 1
        image.info["transparency"] = (transparent & top) * 255 // top
    return image


def _loaded_gif(image: GifImagePlugin.GifImageFile) -> Image.Image:
    """White where the first frame covers nothing; Pillow takes the palette's first colour."""
    covered = image.tile[0].extents
    image.load()
    if covered == (0, 0, *image.size) or image.has_transparency_data:
        return image
    whole = Image.new("RGB", image.size, "white")
    whole.paste(image.convert("RGB").crop(covered), covered)
    return whole


def as_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB."""
    if image.mode == "F":
        raise UnreadableImage("pixels in floating point, whose range is unknown")
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip them at 255
        values = np.asarray(image)
        transparent = image.info.get("transparency")
        image = Image.fromarray((values >> 8).astype(np.uint8))
        if transparent is not None:
            image.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    if image.mode == "La":  # which Pillow converts to this alone
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it
