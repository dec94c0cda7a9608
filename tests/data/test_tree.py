"""Images in folders: every mode becomes RGB, what cannot be read is left out and said."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.image_source import ImageSource, Selection
from alexnet_lab.data.layouts.detect import find_layout
from alexnet_lab.data.prepare import prepare_store


def folder_source(root: Path, size: int, processes: int | None = None) -> ImageSource:
    return ImageSource(lambda: find_layout(root, classes=()), root, size, processes=processes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, "dark" and "light": 6 training and 2 validation images each, of different sizes."""
    for split, count in (("train", 6), ("val", 2)):
        for name, brightness in (("dark", 40), ("light", 220)):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (40 + 7 * index, 50), (brightness, brightness, index)).save(folder / f"{index}.png")
    return tmp_path / "images"


def test_a_folder_becomes_a_store(root: Path, tmp_path: Path) -> None:
    store = prepare_store(tmp_path / "stores", folder_source(root, 32))
    assert store.path.name.startswith("images-32px-")
    assert store.class_names == ["dark", "light"]
    assert store.images("train").shape == (12, 32, 32, 3)
    assert store.labels("val").tolist() == [0, 0, 1, 1]
    for image, label in zip(store.images("train"), store.labels("train"), strict=True):
        assert image[16, 16, 0] == (40, 220)[label]


def test_the_order_does_not_depend_on_the_processes(root: Path) -> None:
    def everything(processes: int) -> bytes:
        chunks = folder_source(root, 20, processes).chunks({"train": 0, "val": 0}, "pixels")
        return b"".join(split.encode() + bytes(chunk.content) for split, chunk in chunks)

    assert everything(1) == everything(3)


def test_few_unreadable_images_are_left_out_and_listed(root: Path, tmp_path: Path) -> None:
    for index in range(100, 350):
        Image.new("RGB", (8, 8)).save(root / "train" / "dark" / f"{index}.png")
    whole = (root / "train" / "light" / "1.png").read_bytes()
    (root / "train" / "light" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "light" / "2.png").write_text("this is text")
    (root / "train" / "light" / "notes.txt").write_text("no image, and not meant as one")
    store = prepare_store(tmp_path / "stores", folder_source(root, 16))
    assert np.bincount(store.labels("train")).tolist() == [256, 4]
    assert store.manifest["rejected"] == 2
    with (store.path / "quarantine.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["train/light/1.png", "train/light/2.png"]


def test_more_than_max_bad_unreadable_is_an_error_that_shows_the_list(root: Path, tmp_path: Path) -> None:
    (root / "val" / "dark" / "0.png").write_text("this is text")
    source = folder_source(root, 16)
    with pytest.raises(UserError, match=r"val/dark/0\.png.*over 1 % of the 4 images in val.*quarantine\.csv") as error:
        prepare_store(tmp_path / "stores", source)
    assert "\n" not in str(error.value)
    listed = Path(str(error.value).split("listed in ")[1].split(":")[0])
    assert "val/dark/0.png" in listed.read_text()
    assert len(prepare_store(tmp_path / "stores", source, max_bad=0.25).labels("val")) == 3


def test_a_class_without_a_readable_image_is_an_error(root: Path, tmp_path: Path) -> None:
    for file in (root / "val" / "light").iterdir():
        file.write_text("this is text")
    with pytest.raises(UserError, match=r"val: no image of class light can be read"):
        prepare_store(tmp_path, folder_source(root, 16), max_bad=1.0)


def test_a_tree_without_a_val_folder_is_split_by_the_seed(root: Path) -> None:
    for index in range(6, 40):
        Image.new("RGB", (8, 8)).save(root / "train" / "dark" / f"{index}.png")

    def names(seed: int) -> tuple[list[str], list[str]]:
        selection = Selection(val_fraction=0.25, seed=seed)
        listing = ImageSource(lambda: find_layout(root / "train"), root / "train", 16, selection)
        return list(listing._split("train").names), list(listing._split("val").names)

    train, val = names(0)
    assert sorted(train + val) == sorted(f"{c}/{i}.png" for c, n in (("dark", 40), ("light", 6)) for i in range(n))
    assert [sum(name.startswith(c) for name in val) for c in ("dark", "light")] == [10, 2]
    assert names(0) == (train, val)
    assert names(1) != (train, val)
    Image.new("RGB", (8, 8)).save(root / "train" / "light" / "new.png")
    assert len(set(names(0)[1]) & set(val)) >= 11  # one more image changes few others


def test_a_fraction_of_the_training_images(root: Path) -> None:
    source = ImageSource(lambda: find_layout(root), root, 16, Selection(train_fraction=0.5))
    assert (source.count("train"), source.count("val")) == (6, 4)


def test_some_of_the_classes(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "pale_grey").mkdir()
        Image.new("RGB", (8, 8)).save(root / split / "pale_grey" / "0.png")
    source = ImageSource(lambda: find_layout(root), root, 16, Selection(("Pale grey", "light")))
    assert source.class_names == ["light", "pale_grey"]
    assert source._split("train").labels.tolist() == [0] * 6 + [1]
    with pytest.raises(UserError, match=r"no class drak; the nearest are dark") as error:
        assert ImageSource(lambda: find_layout(root), root, 16, Selection(("drak", "light"))).class_names
    assert "\n" not in str(error.value)


def test_images_may_lie_deeper(root: Path) -> None:
    (root / "train" / "dark" / "more" / "still").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "train" / "dark" / "more" / "still" / "0.png")
    assert folder_source(root, 16).count("train") == 13


@pytest.mark.parametrize(("train", "val"), [("Train", "Test"), ("training", "testing"), ("train", "VALID")])
def test_the_halves_may_have_other_names(root: Path, train: str, val: str) -> None:
    (root / "train").rename(root / train)
    (root / "val").rename(root / val)
    source = folder_source(root, 16)
    assert (source.class_names, source.count("train"), source.count("val")) == (["dark", "light"], 12, 4)


def test_validation_images_without_training_images_are_no_classes(root: Path) -> None:
    (root / "train").rename(root / "trian")
    with pytest.raises(UserError, match=r"images: holds val/ and no train/"):
        folder_source(root, 16).check()
    (root / "trian").rename(root / "other")  # beside a folder of images, "test" is a class as any other
    (root / "val" / "dark").rename(root / "test")
    (root / "val" / "light").rename(root / "more")
    (root / "val").rmdir()
    assert folder_source(root, 16).class_names == ["more", "other", "test"]


def test_links_that_lead_nowhere_are_listed_and_pipes_passed_over(root: Path, tmp_path: Path) -> None:
    (root / "train" / "dark" / "dangling.png").symlink_to("nowhere.png")
    (root / "train" / "dark" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "train" / "dark" / "pipe.png")
    store = prepare_store(tmp_path / "stores", folder_source(root, 16), max_bad=0.5)
    assert (store.path / "quarantine.csv").read_text().splitlines()[1:] == [
        "train/dark/dangling.png,cannot be read: No such file or directory",
        "train/dark/loop.png,cannot be read: Too many levels of symbolic links",
    ]
    assert prepare_store(tmp_path / "stores", folder_source(root, 16)).path == store.path  # nothing has changed


def test_folders_that_cannot_serve_are_one_line(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        folder_source(tmp_path / "nowhere", 16).check()
    (root / "val" / "grey").mkdir()
    with pytest.raises(UserError, match=r"train/grey: is missing"):
        folder_source(root, 16).check()
    (root / "train" / "grey").mkdir()
    with pytest.raises(UserError, match=r"class grey: has no images in train"):
        folder_source(root, 16).count("train")
    (root / "train" / "grey").rename(root / "train" / os.fsdecode("gr\u00e4u".encode("latin-1")))
    with pytest.raises(UserError, match=r"train: has a class folder 'gr.*u', which is not called in UTF-8"):
        folder_source(root, 16).check()
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"empty/train: holds no class folders"):
        folder_source(tmp_path / "empty", 16).check()
