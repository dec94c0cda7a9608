"""2,000 damaged images: each is rejected with a reason or decodes as Pillow says, and none stops the preparation."""

from __future__ import annotations

import contextlib
import csv
import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from alexnet_lab.data.image_source import ImageSource
from alexnet_lab.data.layouts.detect import find_layout
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.store_checks import verify_store

SIDE, COUNT = 16, 2000
MAGIC = [
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"RIFF\0\0\0\0WEBP",
    b"P6\n",
    b"%!PS-Adobe",
]
FORMATS = [
    ("RGB", "jpeg", {}),
    ("RGB", "jpeg", {"progressive": True}),
    ("L", "jpeg", {}),
    ("CMYK", "jpeg", {}),
    ("RGB", "png", {}),
    ("RGBA", "png", {}),
    ("P", "png", {}),
    ("I;16", "png", {}),
    ("P", "gif", {}),
    ("RGB", "webp", {}),
    ("RGB", "tiff", {"compression": "tiff_lzw"}),
    ("RGB", "tiff", {}),
    ("RGB", "bmp", {}),
    ("RGB", "ppm", {}),
]


def original(generator: random.Random) -> bytes:
    mode, kind, options = generator.choice(FORMATS)
    size = generator.randint(12, 31), generator.randint(12, 31)
    pixels = np.random.default_rng(generator.getrandbits(32)).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize(size)
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)
        if mode == "I;16"
        else image.convert(mode)
    )
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def flipped(content: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(generator.choice((1, 1, 3, 20))):
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def cut(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(len(content))]


def swapped(content: bytes, generator: random.Random) -> bytes:
    first, second, third = sorted(generator.randrange(len(content)) for _ in range(3))
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def forged(content: bytes, generator: random.Random) -> bytes:
    """Another format's first bytes, or sizes that are not the image's."""
    if generator.random() < 0.4:
        magic = generator.choice(MAGIC)
        return magic + content[len(magic) :]
    damaged = bytearray(content)
    number = generator.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 60000, generator.getrandbits(32)))
    place = generator.randrange(min(64, len(damaged) - 4))
    damaged[place : place + 4] = struct.pack(generator.choice("<>") + "I", number)
    return bytes(damaged)


def by_pillow(content: bytes) -> np.ndarray | None:
    """The image as Pillow gives it, in plain steps; None where it does not."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        if image.format in ("EPS", "WMF"):
            return None
        with contextlib.suppress(Exception):  # damaged EXIF data say nothing of the pixels
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith(("I", "F")):
            values = np.asarray(image)
            if image.mode == "F" or values.min() < 0 or values.max() > 65535:
                return None
            image = Image.fromarray((values.astype(int) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            white.alpha_composite(image)
            image = white
        image = image.convert("RGB")
        short = min(image.size)
        corner = (image.width - short) / 2, (image.height - short) / 2
        lines = (corner[0], 0, corner[0] + short, image.height)
        columns = (0, corner[1], SIDE, corner[1] + short)
        narrow = image.resize((SIDE, image.height), Image.Resampling.BILINEAR, box=lines)
        return np.asarray(narrow.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=columns))
    except Exception:
        return None


@pytest.mark.filterwarnings("ignore")  # Pillow's, of the reference's reading
def test_mutated_images(tmp_path: Path) -> None:
    generator = random.Random(2012)
    contents: dict[str, bytes] = {}
    for index in range(COUNT):
        mutate = (flipped, cut, swapped, forged)[index % 4]
        contents[f"train/{'ab'[index % 2]}/{index:04d}.jpg"] = mutate(original(generator), generator)
    for index in range(2):
        for name in ("a", "b"):
            contents[f"train/{name}/whole{index}.jpg"] = contents[f"val/{name}/{index}.jpg"] = original(generator)
    for name, content in contents.items():
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(content)
    root = tmp_path / "images"
    source = ImageSource(lambda: find_layout(root), root, SIDE, seconds_per_image=10)
    store = prepare_store(tmp_path / "stores", source, max_bad=1.0)
    verify_store(store.path)
    with (store.path / "quarantine.csv").open(newline="", encoding="utf-8") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert 300 < len(rejected) < COUNT - 300
    assert all(reason and "\n" not in reason for reason in rejected.values())
    accepted = iter(store.images("train"))
    for name in sorted(name for name in contents if name.startswith("train/")):
        expected = by_pillow(contents[name])
        assert (expected is None) == (name in rejected), (name, rejected.get(name))
        if expected is not None:
            assert np.array_equal(next(accepted), expected), name
    assert next(accepted, None) is None
