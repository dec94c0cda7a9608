"""Images of every kind become squares of RGB pixels, or a reason in one line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_lab.data.image import UnreadableImage, read_square, square

RED, GREY, WHITE = (200, 30, 40), (90, 90, 90), (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("RGB", RED, "jpg", RED),
        ("L", 90, "png", GREY),
        ("L", 90, "jpg", GREY),
        ("1", 1, "png", WHITE),
        ("LA", (90, 255), "png", GREY),
        ("LA", (90, 0), "png", WHITE),
        ("RGBA", (*RED, 255), "png", RED),
        ("RGBA", (*RED, 0), "png", WHITE),
        ("RGBA", (0, 0, 0, 51), "webp", (204, 204, 204)),
        ("I;16", 90 * 256 + 128, "png", GREY),
        ("I;16", 90 * 256 + 128, "tif", GREY),
        ("CMYK", (0, 255, 255, 0), "jpg", (255, 0, 0)),
        ("YCbCr", (90, 128, 128), "jpg", GREY),
        ("RGB", RED, "bmp", RED),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], suffix: str, expected: tuple[int, ...]
) -> None:
    file = tmp_path / f"image.{suffix}"
    Image.new(mode, (50, 37), colour).save(file)
    image = read_square(file, 24)
    assert image.shape == (24, 24, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= 3


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (30, 30), 1)
    palette.putpalette([0, 0, 0, *RED])
    palette.save(tmp_path / "plain.png")
    palette.save(tmp_path / "transparent.png", transparency=1)
    assert read_square(tmp_path / "plain.png", 16)[8, 8].tolist() == list(RED)
    assert read_square(tmp_path / "transparent.png", 16)[8, 8].tolist() == list(WHITE)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 40), WHITE)
    image.paste(RED, (0, 0, 40, 20))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees: its left side is up
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright = read_square(tmp_path / "turned.png", 20)
    assert upright[3, 10].tolist() == list(RED)
    assert upright[16, 10].tolist() == list(WHITE)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (64, 64)])
def test_the_middle_square_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    side = min(size)
    drawn = Image.new("RGB", size, RED)
    left, top = (width - side) // 2, (height - side) // 2
    drawn.paste(GREY, (left, top, left + side, top + side))
    drawn.save(tmp_path / "long.png")
    image = read_square(tmp_path / "long.png", 32)
    assert np.all(image[2:-2, 2:-2] == GREY)


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        ((500, 375), "5b5dd7e0b199918d"),
        ((375, 500), "dac720c82d36a399"),
        ((256, 256), "8e791be2e9445092"),
        ((301, 256), "2b7005b6f653d2d5"),
        ((40, 3000), "e4daa8bbd5537e8a"),
        ((3000, 40), "a9334ac1c7568c9b"),
        ((17, 33), "51ca77e6ae36e874"),
        ((2, 1), "2ca4cee8a86740d3"),
    ],
)
def test_a_square_is_the_same_bytes_with_every_version_and_on_every_machine(size: tuple[int, int], digest: str) -> None:
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert hashlib.sha256(square(Image.fromarray(noise), 256).tobytes()).hexdigest().startswith(digest)


def test_a_square_is_what_pillow_makes_in_one_step() -> None:
    """But for its last bit where Pillow takes the columns first."""
    blocks = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8))
    for width, height in [(500, 375), (375, 500)]:
        image = blocks.resize((width, height), Image.Resampling.BICUBIC)
        box = ((width - 375) / 2, (height - 375) / 2, (width + 375) / 2, (height + 375) / 2)
        expected = np.asarray(image.resize((256, 256), Image.Resampling.BILINEAR, box=box)).astype(int)
        assert np.abs(square(image, 256) - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_tiny_images_are_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, RED).save(tmp_path / "tiny.png")
    assert np.all(read_square(tmp_path / "tiny.png", 32) == RED)


def test_large_jpegs_lose_nothing_by_being_decoded_small(tmp_path: Path) -> None:
    y, x = np.mgrid[0:800, 0:800]
    waves = (127 + 60 * np.sin(x / 40) + 60 * np.cos(y / 55)).astype(np.uint8)
    Image.fromarray(waves).convert("RGB").save(tmp_path / "waves.jpg", quality=95)
    whole = Image.open(tmp_path / "waves.jpg").resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(read_square(tmp_path / "waves.jpg", 64).astype(int) - np.asarray(whole)).max() <= 4


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut"], ids=["empty", "text", "cut"])
def test_what_is_no_image_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.jpg").write_bytes(content)
    with pytest.raises(UnreadableImage) as error:
        read_square(tmp_path / "odd.jpg", 16)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_s_name_does_not_matter(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), RED).save(tmp_path / "image.JPEG", "png")
    assert np.all(read_square(tmp_path / "image.JPEG", 16) == RED)


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, WHITE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert np.abs(read_square(tmp_path / "moving.gif", 16).astype(int) - RED).max() <= 3


def test_decompression_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(UnreadableImage, match="decompression bomb"):
        read_square(tmp_path / "bomb.png", 16)


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "tiff", "bmp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_images_are_refused(tmp_path: Path, kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole", kind)
    content = (tmp_path / "whole").read_bytes()
    assert read_square(content, 16).shape == (16, 16, 3)
    with pytest.raises(UnreadableImage):
        read_square(content[: int(share * len(content))], 16)


def test_postscript_is_no_image(tmp_path: Path) -> None:
    """Pillow would start another program to draw it."""
    Image.new("RGB", (30, 30), RED).save(tmp_path / "drawing.jpg", "eps")
    with pytest.raises(UnreadableImage, match="no image in a format that is read"):
        read_square(tmp_path / "drawing.jpg", 16)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of the damage
def test_damaged_exif_data_do_not_cost_the_image(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), RED).save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.abs(read_square(tmp_path / "odd.jpg", 16).astype(int) - RED).max() <= 3
