"""Which folders are classes, what is left out of a collection, and that it is counted and said."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import made_collections
import numpy as np
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.image_source import ImageSource, Selection
from alexnet_lab.data.layouts import archives
from alexnet_lab.data.layouts.detect import find_layout

OF_SYSTEMS = (
    *("@eaDir", ".thumbnails", ".@__thumb", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX"),
    *("lost+found", ".git", ".ipynb_checkpoints"),
)


def fill(root: Path, *folders: str, images: int = 5) -> Path:
    """So many images in each of the folders."""
    for folder in folders:
        made_collections.write(
            root / folder, {f"{index}.jpg": made_collections.image(index) for index in range(images)}
        )
    return root


def source_of(root: Path, *classes: str, layout: str = "auto") -> ImageSource:
    return ImageSource(lambda: find_layout(root, layout, classes), root, 16, Selection(classes, layout=layout))


def counts(source: ImageSource) -> tuple[list[str], int, int]:
    return list(source.class_names), source.count("train"), source.count("val")


def passed_over(source: ImageSource) -> str:
    return source.facts()["passed_over"]


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as refused:
        find_layout(root)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_class_called_train_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    root = fill(tmp_path, "boat", "bus", "car", "plane", "tram", "train/steam", "train/diesel", "train")
    said = refusal(root)
    assert "boat, bus, car and 2 more as train/ (data.layout=tree)" in said
    assert "the folders in train/ are the classes (data.layout=train_val)" in said
    as_classes = source_of(root, layout="tree")
    assert counts(as_classes) == (["boat", "bus", "car", "plane", "train", "tram"], 32, 8)
    assert passed_over(as_classes) == ""
    as_half = source_of(root, layout="train_val")
    assert counts(as_half) == (["diesel", "steam"], 8, 2)
    outside = "files outside the class folders: 30 (train/ 5, boat/ 5, bus/ 5, car/ 5, plane/ 5, tram/ 5)"
    assert passed_over(as_half) == outside
    assert as_half.settings() != as_classes.settings()  # or they would have one store


@pytest.mark.parametrize("half", ["val", "Test", "testing"])
def test_a_class_called_test_with_folders_in_it(tmp_path: Path, half: str) -> None:
    root = fill(tmp_path, "boat", "bus", f"{half}/day", f"{half}/night")
    assert f"holds {half}/ and no train/" in refusal(root)
    assert "data.layout=tree" in refusal(root)
    assert counts(source_of(root, layout="tree"))[0] == sorted(["boat", "bus", half])


def test_classes_that_all_hold_the_same_folders(tmp_path: Path) -> None:
    root = fill(tmp_path, *(f"{name}/{light}" for name in ("boat", "train", "test") for light in ("day", "night")))
    assert "may be meant in two ways" in refusal(root)
    assert counts(source_of(root, layout="tree")) == (["boat", "test", "train"], 24, 6)


def test_folders_of_images_without_folders_are_classes_whatever_they_are_called(tmp_path: Path) -> None:
    assert counts(source_of(fill(tmp_path, "boat", "train", "test")))[0] == ["boat", "test", "train"]


def test_what_lies_beside_two_halves_is_counted(tmp_path: Path) -> None:
    root = fill(tmp_path, "train/a", "train/b", "val/a", "val/b", "test", "samples")
    made_collections.write(root, {"notes/one.xml": b"<a/>", "readme.txt": b"", "train/loose.jpg": b"x"})
    (root / "train" / "gone").symlink_to("nowhere")
    source = source_of(root)
    assert counts(source) == (["a", "b"], 10, 10)
    assert passed_over(source).split("; ") == [
        "links that lead nowhere: 1 (train/gone)",
        "files outside the class folders: 11 (samples/ 5, test/ 5, train/)",
        "files that are no images: 1 (.txt)",
        "folders without images: 1 (notes)",
    ]


def test_unlabelled_test_images_beside_training_images(tmp_path: Path) -> None:
    source = source_of(fill(tmp_path, "train/a", "train/b", "test"))
    assert counts(source) == (["a", "b"], 8, 2)
    assert passed_over(source) == "files outside the class folders: 5 (test/ 5)"
    (tmp_path / "test").rename(tmp_path / "val")  # which are meant to be used
    assert "val: holds no class folders" in refusal(tmp_path)


def test_what_systems_and_programs_leave_is_no_image_anywhere(tmp_path: Path) -> None:
    root = fill(tmp_path / "made", *(f"{half}/{name}" for half in ("train", "val") for name in "ab"))
    plain = counts(source_of(root))
    places = ("", "train/", "val/", "train/a/", "val/b/", "train/a/deeper/")
    fill(root, *(f"{place}{name}" for place in places for name in OF_SYSTEMS), images=2)
    for name in ("._0.jpg", "._1.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        made_collections.write(root, {f"train/b/{name}": b"x"})
    assert counts(source_of(root)) == plain
    said = passed_over(source_of(root))
    assert "hidden or system files and folders: 65 (#recycle 6, $RECYCLE.BIN 6" in said
    assert "folders without images: 1 (train/a/deeper)" in said
    flat = fill(tmp_path / "flat", "a", "b", *(f"{place}{name}" for place in ("", "a/") for name in OF_SYSTEMS))
    assert counts(source_of(flat)) == (["a", "b"], 8, 2)


def test_what_systems_leave_in_archives(tmp_path: Path) -> None:
    made_collections.archives(tmp_path)
    litter = {"__MACOSX/._x.JPEG": b"x", "@eaDir/x.JPEG": b"x", "Thumbs.db": b"x", "readme.txt": b"x"}
    packed = made_collections.tar_of({**litter, **made_collections.val_images()})
    (tmp_path / archives.VAL).write_bytes(packed)
    inner = {
        f"{wnid}.tar": made_collections.tar_of({**litter, **files})
        for wnid, files in made_collections.train_images().items()
    }
    (tmp_path / archives.TRAIN).write_bytes(made_collections.tar_of({**litter, **inner}))
    fill(tmp_path, "train/n01440764")  # extracted from them, and not read
    listing = find_layout(tmp_path).listing()
    assert len(listing.train.names) == 3 * made_collections.TRAIN_IMAGES
    assert len(listing.val.names) == made_collections.VAL_IMAGES
    assert listing.passed_over.split("; ") == [
        "hidden or system files and folders: 15 (__MACOSX 5, @eaDir 5, Thumbs.db 5)",
        "files that are no images: 5 (.txt 5)",
        "files outside the class folders: 5 (train/ 5)",
    ]


def test_linked_folders_are_followed_and_none_twice_or_upwards(tmp_path: Path) -> None:
    root = fill(tmp_path / "made", "train/a", "train/b")
    fill(tmp_path, "other/more", "other/c", images=3)
    (root / "train" / "c").symlink_to(tmp_path / "other" / "c")
    (root / "train" / "a" / "linked").symlink_to(tmp_path / "other" / "more")
    (root / "train" / "a" / "linked_again").symlink_to(tmp_path / "other" / "more")
    (root / "train" / "b" / "0_linked.jpg").symlink_to("0.jpg")
    (tmp_path / "other" / "more" / "back").symlink_to(root / "train")  # by its path above, in truth not
    (tmp_path / "other" / "c" / "up").symlink_to("..")  # in truth above, by its path not
    (root / "train" / "all").symlink_to(tmp_path)
    listing = find_layout(root).listing()
    assert np.bincount(listing.train.labels).tolist() == [8, 6, 3]
    assert "train/a/linked/2.jpg" in listing.train.names
    assert listing.passed_over.split("; ") == [
        "links to a folder above: 3 (train/all, train/a/linked/back, train/c/up)",
        "folders reached a second time: 1 (train/a/linked_again)",
    ]


def test_classes_that_are_left_out_block_nothing(tmp_path: Path) -> None:
    root = fill(tmp_path, "train/a", "train/b", "val/a", "val/b", "train/only_train", "val/only_val")
    (root / "train" / "empty").mkdir()
    with pytest.raises(UserError, match=r"train/only_val: is missing \(1 classes of val/.*data\.classes can leave"):
        source_of(root).check()
    source = source_of(root, "a", "b")
    source.check()
    assert counts(source) == (["a", "b"], 10, 10)
    with pytest.raises(UserError, match=r"val/only_train: is missing"):
        source_of(root, "a", "only_train").check()


def test_a_class_that_is_left_out_may_lack_its_archive(tmp_path: Path) -> None:
    made_collections.extracted(tmp_path)
    shutil.rmtree(tmp_path / "train" / "n01440764")
    assert counts(source_of(tmp_path, "n03095699", "n03792782")) == (["n03095699", "n03792782"], 8, 4)
    with pytest.raises(UserError, match=r"class n01440764: has no images in train"):
        source_of(tmp_path).facts()


def test_names_that_look_alike_are_one_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    root = fill(tmp_path / "made", f"train/{composed}", "train/b", f"val/{apart}", "val/b", "train/c", "val/c")
    source_of(root).check()
    assert counts(source_of(root)) == (["b", "c", composed], 15, 15)
    for asked in (composed, apart):
        assert counts(source_of(root, asked, "b")) == (["b", composed], 10, 10)
    fill(root, f"train/{apart}")
    assert "made/train: has two class folders that look alike, 'cafe\\u0301' and 'caf\\xe9'" in refusal(root)
