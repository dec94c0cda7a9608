"""Compiled code prepares pictures as Pillow and NumPy do, to the last bit."""

from __future__ import annotations

import io
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mutated_pictures import flipped

from alexnet_lab.data import decode_job
from alexnet_lab.data.decode_job import Job
from alexnet_lab.data.picture import UnreadablePicture, read_square, square
from alexnet_lab.data.pixel_statistics import PixelStatistics
from alexnet_lab.data.places import FilePlace

pytest.importorskip("numba")
pytest.importorskip("simplejpeg")

from alexnet_lab.data.compiled_pictures import CompiledPictures


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def clouds(width: int, height: int) -> Image.Image:
    """Something that JPEG was made for."""
    return Image.fromarray(noise(5, 4)).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("side", [256, 227, 64, 1])
@pytest.mark.parametrize(
    ("width", "height"),
    [(500, 375), (375, 500), (256, 256), (301, 256), (1000, 999), (40, 3000), (3000, 40), (17, 33), (2, 1), (1, 1)],
)
def test_squares_are_pillows(width: int, height: int, side: int) -> None:
    pixels = noise(width, height)
    assert np.array_equal(CompiledPictures(side).square(pixels), square(Image.fromarray(pixels), side))


def test_a_square_is_what_pillow_makes_in_one_step() -> None:
    """But for its last bit where Pillow takes the columns first."""
    for width, height in [(500, 375), (375, 500)]:
        image, corner = clouds(width, height), ((width - 375) / 2, (height - 375) / 2)
        box = (*corner, corner[0] + 375, corner[1] + 375)
        expected = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR, box=box)).astype(int)
        assert np.abs(square(image, 256) - expected).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"progressive": True},
        {"restart_marker_blocks": 3},
        {"quality": 20},
        {"quality": 100},
        {"keep_rgb": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(63, 47), (130, 129), (517, 389), (1031, 1500)], ids=str)
def test_jpegs_of_every_kind_are_decoded_as_by_pillow(options: dict[str, object], size: tuple[int, int]) -> None:
    """The larger ones at a half, quarter or eighth of their size."""
    compiled = CompiledPictures(32)
    for mode in ("RGB", "L"):
        content = jpeg(clouds(*size).convert(mode), **(options if mode == "RGB" else {}))
        with Image.open(io.BytesIO(content)) as image:
            image.draft(None, (64, 64))
            assert compiled.decoded(content, image) is not None
        assert np.array_equal(read_square(content, 32, compiled), read_square(content, 32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_and_those_of_other_modes_are_left_to_pillow(orientation: int) -> None:
    compiled, exif = CompiledPictures(32), Image.Exif()
    exif[0x0112] = orientation
    for mode in ("RGB", "CMYK"):
        content = jpeg(clouds(90, 60).convert(mode), exif=exif)
        assert np.array_equal(read_square(content, 32, compiled), read_square(content, 32))


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged EXIF data
def test_damaged_jpegs_meet_the_same_fate() -> None:
    compiled, generator, fates = CompiledPictures(16), random.Random(0), Counter[str]()

    def fate(content: bytes, by: CompiledPictures | None) -> bytes | str:
        try:
            return read_square(content, 16, by).tobytes()
        except UnreadablePicture as reason:
            return str(reason)

    whole = [jpeg(clouds(60, 40)), jpeg(clouds(41, 60), progressive=True), jpeg(clouds(50, 50).convert("L"))]
    for _ in range(1500):
        content = flipped(generator.choice(whole), generator)
        one, other = fate(content, None), fate(content, compiled)
        assert one == other
        fates[type(one).__name__] += 1
    assert min(fates["bytes"], fates["str"]) > 200


def test_statistics_are_numpys() -> None:
    images = noise(24, 24 * 600).reshape(600, 24, 24, 3)
    one, other = PixelStatistics(24), PixelStatistics(24)
    one.add(images)
    other.add(images, CompiledPictures(24))
    for expected, found in zip(one.arrays().values(), other.arrays().values(), strict=True):
        assert np.array_equal(expected, found)


@pytest.mark.parametrize("missing", ["simplejpeg", "numba"])
def test_without_a_package_the_blocks_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    files = [tmp_path / f"{index}.jpg" for index in range(3)]
    for file, size in zip(files, [(40, 30), (30, 40), (50, 50)], strict=True):
        file.write_bytes(jpeg(clouds(*size)))

    def block() -> tuple[bytes, str, str]:
        places = [FilePlace(str(file)) for file in files]
        job = Job(["a", "b", "c"], places, [0, 1, 2], 16, "pixels", 60.0, compiled=True)
        made = decode_job.decode(job, np.empty(3 * 16 * 16 * 3, np.uint8))
        return bytes(made.content), repr(made.statistics.color_facts()), made.slow

    decode_job.compiled_pictures.cache_clear()
    expected = block()
    decode_job.compiled_pictures.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "alexnet_lab.data.picture_kernels")
    monkeypatch.delattr("alexnet_lab.data.picture_kernels")
    *same, slow = block()
    assert ([*same, ""], slow) == ([*expected], f"import of {missing} halted; None in sys.modules")
    decode_job.compiled_pictures.cache_clear()
