"""Pictures in folders: every mode becomes RGB, what cannot be read is left out and said."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_lab.data.folder import FolderSource
from alexnet_lab.data.picture import UnreadablePicture, read_square
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.errors import UserError

RED, GREY, WHITE = (200, 30, 40), (90, 90, 90), (255, 255, 255)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, "dark" and "light": 6 training and 2 validation pictures each, of different sizes."""
    for split, count in (("train", 6), ("val", 2)):
        for name, brightness in (("dark", 40), ("light", 220)):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (40 + 7 * index, 50), (brightness, brightness, index)).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def test_a_folder_becomes_a_store(root: Path, tmp_path: Path) -> None:
    store = prepare_store(tmp_path / "stores", FolderSource(root, 32))
    assert store.path.name.startswith("pictures-32px-2c-")
    assert store.class_names == ["dark", "light"]
    assert store.images("train").shape == (12, 32, 32, 3)
    assert store.labels("val").tolist() == [0, 0, 1, 1]
    for image, label in zip(store.images("train"), store.labels("train"), strict=True):
        assert image[16, 16, 0] == (40, 220)[label]


def test_the_order_does_not_depend_on_the_threads(root: Path) -> None:
    def everything(threads: int) -> np.ndarray:
        return np.concatenate([images for _, images, _ in FolderSource(root, 20, threads).chunks("train")])

    assert np.array_equal(everything(1), everything(3))


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
    file = tmp_path / f"picture.{suffix}"
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


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 40), WHITE)
    picture.paste(RED, (0, 0, 40, 20))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees: its left side is up
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright = read_square(tmp_path / "turned.png", 20)
    assert upright[3, 10].tolist() == list(RED)
    assert upright[16, 10].tolist() == list(WHITE)


@pytest.mark.parametrize("size", [(300, 100), (100, 300), (64, 64)])
def test_the_middle_square_is_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    side = min(size)
    picture = Image.new("RGB", size, RED)
    left, top = (width - side) // 2, (height - side) // 2
    picture.paste(GREY, (left, top, left + side, top + side))
    picture.save(tmp_path / "long.png")
    image = read_square(tmp_path / "long.png", 32)
    assert np.all(image[2:-2, 2:-2] == GREY)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_tiny_pictures_are_enlarged(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, RED).save(tmp_path / "tiny.png")
    assert np.all(read_square(tmp_path / "tiny.png", 32) == RED)


def test_large_jpegs_lose_nothing_by_being_decoded_small(tmp_path: Path) -> None:
    y, x = np.mgrid[0:800, 0:800]
    waves = (127 + 60 * np.sin(x / 40) + 60 * np.cos(y / 55)).astype(np.uint8)
    Image.fromarray(waves).convert("RGB").save(tmp_path / "waves.jpg", quality=95)
    whole = Image.open(tmp_path / "waves.jpg").resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(read_square(tmp_path / "waves.jpg", 64).astype(int) - np.asarray(whole)).max() <= 4


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut"], ids=["empty", "text", "cut"])
def test_what_is_no_picture_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.jpg").write_bytes(content)
    with pytest.raises(UnreadablePicture) as error:
        read_square(tmp_path / "odd.jpg", 16)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_few_unreadable_pictures_are_left_out_and_listed(root: Path, tmp_path: Path) -> None:
    for index in range(100, 350):
        Image.new("RGB", (8, 8)).save(root / "train" / "dark" / f"{index}.png")
    whole = (root / "train" / "light" / "1.png").read_bytes()
    (root / "train" / "light" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "light" / "2.png").write_text("this is text")
    (root / "train" / "light" / "notes.txt").write_text("no picture, and not meant as one")
    store = prepare_store(tmp_path / "stores", FolderSource(root, 16))
    assert np.bincount(store.labels("train")).tolist() == [256, 4]
    assert store.manifest["rejected"] == 2
    with (store.path / "quarantine.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["train/light/1.png", "train/light/2.png"]


def test_more_than_one_percent_unreadable_is_an_error(root: Path, tmp_path: Path) -> None:
    (root / "val" / "dark" / "0.png").write_text("this is text")
    with pytest.raises(UserError, match=r"val/dark/0\.png.*over 1 %") as error:
        prepare_store(tmp_path / "stores", FolderSource(root, 16))
    assert "\n" not in str(error.value)
    assert not [entry for entry in (tmp_path / "stores").iterdir() if entry.is_dir()]


def test_a_class_without_a_readable_picture_is_an_error(root: Path) -> None:
    for index in range(100, 300):
        Image.new("RGB", (8, 8)).save(root / "val" / "dark" / f"{index}.png")
    for file in (root / "val" / "light").iterdir():
        file.write_text("this is text")
    with pytest.raises(UserError, match=r"val/light: none"):
        list(FolderSource(root, 16).chunks("val"))


def test_a_changed_folder_is_another_store(root: Path) -> None:
    before = FolderSource(root, 16).settings()
    assert FolderSource(root, 16).settings() == before
    os.utime(root / "train" / "dark" / "0.png", (0, 0))
    assert FolderSource(root, 16).settings() != before
    Image.new("RGB", (8, 8)).save(root / "val" / "dark" / "more.png")
    assert FolderSource(root, 16).count("val") == 5


def test_folders_that_cannot_serve_are_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/train.*train/<class>/"):
        FolderSource(tmp_path / "nowhere", 16)
    (root / "val" / "grey").mkdir()
    with pytest.raises(UserError, match=r"train/grey: is missing"):
        FolderSource(root, 16)
    (root / "train" / "grey").mkdir()
    with pytest.raises(UserError, match=r"train/grey: holds no pictures"):
        FolderSource(root, 16)
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty/train: holds no class folders"):
        FolderSource(tmp_path / "empty", 16)
