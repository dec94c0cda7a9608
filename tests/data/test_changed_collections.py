"""A collection that no longer is the one that was prepared is noticed, whatever its layout and size."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_collections
import numpy as np
import pytest
from PIL import Image

from alexnet_lab.core.errors import UserError
from alexnet_lab.data import contents
from alexnet_lab.data.array_source import ArraySource
from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.cifar10 import Cifar10Source
from alexnet_lab.data.fashion_mnist import FashionMnistSource
from alexnet_lab.data.image_source import ImageSource
from alexnet_lab.data.layouts.detect import find_layout
from alexnet_lab.data.prepare import discard_changed, prepare_store
from alexnet_lab.data.store_writer import StoreWriter
from data.test_fashion_mnist import lay, small_files

LONG_AGO = (10**9, 10**9)


def source(root: Path) -> ImageSource:
    return ImageSource(lambda: find_layout(root), root, 16)


def facts(root: Path) -> dict[str, Any]:
    """As a manifest holds them."""
    return json.loads(json.dumps(source(root).facts()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of one size and one time, as archives often give them; those of `cat` and `fox` have the same names."""
    root = tmp_path / "images"
    for split in ("train", "val"):
        for number, name in enumerate(("cat", "dog", "fox")):
            (root / split / name / "more").mkdir(parents=True)
            for index in range(3):
                pixels = np.full((8, 8, 3), 50 * number + index, dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / ("more" if index == 2 else "") / f"{index}.bmp")
    (root / "elsewhere.bmp").write_bytes((root / "train/cat/0.bmp").read_bytes())
    (root / "train/dog/link.bmp").symlink_to("0.bmp")
    for file in root.rglob("*.bmp"):
        os.utime(file, LONG_AGO)
    for folder in root.rglob("*/"):
        os.utime(folder, LONG_AGO)
    return root


def swap(one: Path, other: Path) -> None:
    beside = one.with_name("beside")
    one.rename(beside)
    other.rename(one)
    beside.rename(other)


def rename_class(root: Path, name: str) -> None:
    for split in ("train", "val"):
        (root / split / "fox").rename(root / split / name)


def lead_elsewhere(root: Path) -> None:
    (root / "train/dog/link.bmp").unlink()
    (root / "train/dog/link.bmp").symlink_to("1.bmp")


def lead_the_class_elsewhere(root: Path) -> None:
    (root / "train/fox").rename(root / "another")
    (root / "train/fox").symlink_to(root / "train/cat")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "an image in another class": (lambda root: (root / "train/cat/0.bmp").rename(root / "train/fox/9.bmp"), "moved"),
    "an image in another split": (lambda root: (root / "train/cat/0.bmp").rename(root / "val/cat/9.bmp"), "moved"),
    "an image deeper down": (lambda root: (root / "val/cat/0.bmp").rename(root / "val/cat/more/0.bmp"), "moved"),
    "a renamed image": (lambda root: (root / "val/cat/more/2.bmp").rename(root / "val/cat/more/9.bmp"), "renamed"),
    "two images swapped": (lambda root: swap(root / "train/cat/0.bmp", root / "train/fox/0.bmp"), "moved"),
    "two classes swapped": (lambda root: swap(root / "train/cat", root / "train/fox"), "moved"),
    "the splits swapped": (lambda root: swap(root / "train", root / "val"), "moved|17 files"),
    "a renamed class": (lambda root: rename_class(root, "gnu"), "other class folders"),
    "a class in capitals": (lambda root: rename_class(root, "Fox"), "other class folders"),
    "a class without images": (lambda root: [file.unlink() for file in (root / "val/fox").rglob("*.bmp")], "16 files"),
    "a new class": (lambda root: [(root / split / "gnu").mkdir() for split in ("train", "val")], "other class folders"),
    "no validation images": (lambda root: shutil.rmtree(root / "val"), "10 files, not 19"),
    "a new image": (lambda root: shutil.copy(root / "elsewhere.bmp", root / "val/fox/9.bmp"), "20 files, not 19"),
    "a new image deeper down": (
        lambda root: shutil.copy(root / "elsewhere.bmp", root / "val/fox/more/9.bmp"),
        "20 files, not 19",
    ),
    "a link that leads elsewhere": (lead_elsewhere, "moved"),
    "a class that is a link now": (lead_the_class_elsewhere, "moved"),
}


@pytest.mark.parametrize("few", [0, 50_000], ids=["large", "small"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_tree_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch, change: str, few: int) -> None:
    monkeypatch.setattr(contents, "FEW_FILES", few)
    before = facts(root)
    assert source(root).change(before) is None
    alter, said = CHANGES[change]
    alter(root)
    found = source(root).change(before)
    assert found is not None
    assert found == source(root).change(before, every_file=True)
    assert any(part in found for part in said.split("|"))


def test_an_image_that_is_rewritten_in_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = facts(root)
    file = root / "train/cat/0.bmp"
    file.write_bytes((root / "train/fox/0.bmp").read_bytes())
    os.utime(file, (LONG_AGO[0] - 1, LONG_AGO[1] - 1))  # an older time than any other
    assert "a file was moved, renamed or rewritten" in str(source(root).change(before))
    monkeypatch.setattr(contents, "FEW_FILES", 0)  # in a large collection the folders alone are looked at
    assert source(root).change(before) is None
    assert "rewritten" in str(source(root).change(before, every_file=True))  # as prepare.py and verify ask


@pytest.mark.parametrize("few", [0, 50_000], ids=["large", "small"])
def test_what_is_no_change(root: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(contents, "FEW_FILES", few)
    before = facts(root)
    (root / "train/cat/.DS_Store").touch()  # changes the folder's time
    (root / "train/cat/notes.txt").touch()
    (root / "notes").mkdir()
    (root / "train/fox/0.bmp").chmod(0o600)
    assert source(root).change(before) is None
    whole = root.with_name("copy")
    shutil.copytree(root, whole, symlinks=True)  # as from a backup: other inode numbers, equal times
    shutil.rmtree(root)
    whole.rename(root)
    for name, time in before["folders"].items():
        os.utime(root / name, ns=(time, time))
    assert source(root).change(before) is None


def test_validation_images_that_were_not_there_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "FEW_FILES", 0)
    (root / "val").rename(root.with_name("val"))
    before = facts(root)
    root.with_name("val").rename(root / "val")
    assert "19 files, not 10" in str(source(root).change(before))


def test_facts_of_an_earlier_version_are_not_trusted(root: Path) -> None:
    kept_then = {"files": 19, "bytes": 19 * 246, "newest": 10**18, "folders": "0123456789abcdef", "words": {}}
    assert source(root).change(kept_then) == (
        f"{root}: may have changed (an earlier version of this program kept no list of its files)"
    )


def kaggle(root: Path) -> Path:
    made_collections.kaggle(root)
    return root / "LOC_val_solution.csv"


def kit(root: Path) -> Path:
    made_collections.extracted(root)
    return root / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


def archived_kit(root: Path) -> Path:
    made_collections.extracted_with_archived_kit(root)
    return root / "ILSVRC2012_devkit_t12.tar.gz"


def kit_beside_archives(root: Path) -> Path:
    made_collections.archives(root)
    return root / "ILSVRC2012_devkit_t12.tar.gz"


def tiny(root: Path) -> Path:
    made_collections.tiny_imagenet(root)
    return root / "val/val_annotations.txt"


@pytest.mark.parametrize("few", [0, 50_000], ids=["large", "small"])
@pytest.mark.parametrize("made", [kaggle, kit, archived_kit, kit_beside_archives, tiny])
def test_another_list_of_labels_of_the_same_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path], few: int
) -> None:
    monkeypatch.setattr(contents, "FEW_FILES", few)
    labels = made(tmp_path)
    before, was = facts(tmp_path), labels.stat()
    content = bytearray(labels.read_bytes())
    content[-3] ^= 1
    labels.write_bytes(content)
    os.utime(labels, ns=(was.st_atime_ns, was.st_mtime_ns))
    found = str(source(tmp_path).change(before))
    assert f"{labels.relative_to(tmp_path)} says something else" in found


@pytest.mark.parametrize("layout", ["archives", "parquet"])
def test_large_files_are_known_by_name_size_and_time(tmp_path: Path, layout: str) -> None:
    made_collections.MAKERS[layout](tmp_path)
    one, other, *_ = sorted([*tmp_path.glob("*.tar"), *tmp_path.glob("data/*.parquet")])
    before = facts(tmp_path)
    was = one.stat()
    os.utime(one, ns=(was.st_atime_ns, was.st_mtime_ns - 1))
    assert "rewritten" in str(source(tmp_path).change(before))
    os.utime(one, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert source(tmp_path).change(before) is None
    swap(one, other)
    assert "moved" in str(source(tmp_path).change(before))


def cifar10(folder: Path) -> Cifar10Source:
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / "cifar-10-batches-py").mkdir(exist_ok=True)
        (folder / "cifar-10-batches-py" / name).write_bytes(name.ljust(20).encode())
        os.utime(folder / "cifar-10-batches-py" / name, LONG_AGO)
    return Cifar10Source(folder, 32)


def fashion_mnist(folder: Path) -> FashionMnistSource:
    return FashionMnistSource(lay(folder, small_files()), 28)


@pytest.mark.parametrize(
    ("made", "one", "other"),
    [
        (cifar10, "cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/test_batch"),
        (fashion_mnist, "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"),
        (fashion_mnist, "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"),
    ],
)
def test_files_of_arrays(tmp_path: Path, made: Callable[[Path], ArraySource], one: str, other: str) -> None:
    arrays = made(tmp_path)
    before = json.loads(json.dumps(arrays.facts()))
    assert arrays.change(before) is None
    swap(tmp_path / one, tmp_path / other)
    assert arrays.change(before) is not None
    for file in tmp_path.rglob("*"):
        if file.is_file():
            file.unlink()
    assert arrays.change(before) is None  # what is prepared may be deleted: it can be had again
    assert "may have changed" in str(made(tmp_path).change({}))


def test_a_collection_that_changes_while_it_is_prepared(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores, append, begun = root.with_name("stores"), StoreWriter.append, []

    def append_and_move(writer: StoreWriter, split: str, chunk: Chunk) -> None:
        append(writer, split, chunk)
        if not begun:
            begun.append(swap(root / "train/cat/0.bmp", root / "train/fox/0.bmp"))

    monkeypatch.setattr(StoreWriter, "append", append_and_move)
    with pytest.raises(UserError, match=r"has changed .* while it was prepared; the same command prepares it anew"):
        prepare_store(stores, source(root))
    store = prepare_store(stores, source(root))
    assert store.images("train")[0][0, 0, 0] == 100  # what was fox's
    assert discard_changed(stores, source(root)) is None
