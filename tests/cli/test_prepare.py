"""src/prepare.py as a person uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_lab.data.store import manifest_checksum
from conftest import Program


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of eight images, without validation images of their own."""
    for name, brightness in (("dark", 40), ("light", 220)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(8):
            Image.new("RGB", (50, 40), (brightness, index, 0)).save(tmp_path / "images" / name / f"{index}.png")
    return tmp_path / "images"


def only_store(tmp_path: Path) -> Path:
    [manifest] = (tmp_path / "datasets").glob("*/manifest.json")
    return manifest.parent


def test_prepare_verify_and_change(program: Program, images: Path, tmp_path: Path) -> None:
    asked = ("data=folder", f"data.root={images}", "data.image_size=32")
    shutil.copytree(images / "dark", images / "dark" / "@eaDir")
    (images / "dark" / "notes.txt").touch()
    done = program("prepare.py", *asked)
    assert done.returncode == 0, done.stderr
    assert "12 training and 4 validation images" in done.stderr
    assert "GB are needed" in done.stderr
    store = only_store(tmp_path)
    assert done.stdout.startswith(f"datasets/{store.name}: 12 training and 4 validation images of 32 pixels, 2 classes")
    passed_over = "hidden or system files and folders: 1 (@eaDir); files that are no images: 1 (.txt)"
    assert f"Passed over, {passed_over}\n" in done.stderr
    assert done.stdout.endswith(f"\nPassed over, {passed_over}\n")
    assert np.load(store / "train_images.npy").shape == (12, 32, 32, 3)  # one line is all that a reader needs
    manifest = json.loads((store / "manifest.json").read_text())
    assert manifest["settings"]["root"] == str(images)
    assert set(manifest["colors"]) == {"mean", "covariance", "eigenvalues", "eigenvectors"}

    assert "every byte is as it was written" in program("prepare.py", "verify", *asked).stdout
    content = bytearray((store / "val_images.npy").read_bytes())
    content[-100] ^= 4
    shutil.copytree(store, store.with_name("whole"))
    (store / "val_images.npy").write_bytes(content)
    shutil.copytree(store, store.with_name("another"))
    damaged = program("prepare.py", "verify")
    assert (damaged.returncode, len(damaged.stderr.splitlines())) == (2, 1)
    for name in ("another", store.name):
        assert f"datasets/{name}/val_images.npy:, images 0 to 3, is damaged" in damaged.stderr
    assert damaged.stdout.startswith("datasets/whole: every byte is as it was written")
    for name in ("another", "whole"):
        shutil.rmtree(store.with_name(name))

    Image.new("RGB", (50, 40)).save(images / "dark" / "new.png")
    train = ("train.py", "model.input_size=32", "trainer.max_epochs=1", "optim.batch_size=4")
    refused = program(*train, *asked)
    assert refused.returncode == 2
    assert "it holds 17 files, not 16" in refused.stderr.splitlines()[-1]
    anew = program("prepare.py", *asked)
    assert anew.returncode == 0, anew.stderr
    assert "preparing it anew" in anew.stderr
    assert np.load(only_store(tmp_path) / "train_labels.npy").tolist() == [0] * 7 + [1] * 6

    (images / "dark" / "new.png").rename(images / "light" / "new.png")
    said = "has changed (a file was moved, renamed or rewritten) since"
    for command in (("prepare.py", "verify"), train):
        refused = program(*command, *asked)
        assert refused.returncode == 2
        assert said in refused.stderr.splitlines()[-1]
    anew = program("prepare.py", *asked)
    assert anew.returncode == 0, anew.stderr
    assert f"{said} it was prepared: preparing it anew" in anew.stderr
    assert np.load(only_store(tmp_path) / "train_labels.npy").tolist() == [0] * 6 + [1] * 7
    assert program("prepare.py", "verify", *asked).returncode == 0


def test_a_store_of_an_earlier_version_is_prepared_anew(program: Program, images: Path, tmp_path: Path) -> None:
    asked = ("data=folder", f"data.root={images}", "data.image_size=32")
    assert program("prepare.py", *asked).returncode == 0
    file = only_store(tmp_path) / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["manifest_sha256"]
    manifest["found"] = {"files": 16, "bytes": 1600, "newest": 10**18, "folders": "0123456789abcdef", "words": {}}
    file.write_text(json.dumps({**manifest, "manifest_sha256": manifest_checksum(manifest)}))
    refused = program("prepare.py", "verify", *asked)
    assert refused.returncode == 2
    assert "may have changed (an earlier version of this program kept no list of its files)" in refused.stderr
    assert program("prepare.py", *asked).returncode == 0
    assert program("prepare.py", "verify", *asked).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("data=imagenet",), "needs data.root=DIR"),
        (("data=digits", "data.classes=[1,2]"), "data.classes: no such key here; it comes with imagenette"),
        (("data=folder", "data.root=images", "data.classes=[drak,light]"), "no class drak; the nearest are dark"),
        (("data=folder", "data.root=images", "data.classes=[dark]"), "names one class"),
        (("data=folder", "data.root=images", "data.layout=kaggle"), "lacks LOC_val_solution.csv"),
        (("data=imagenette", "data.url=http://127.0.0.1:1"), "cannot be fetched"),
        (("verify",), "datasets: holds no prepared data"),
        (("verify-archives", "data=imagenet", "data.root=images"), "images: holds none of"),
    ],
)
def test_what_cannot_work_is_one_line(program: Program, images: Path, arguments: tuple[str, ...], said: str) -> None:
    done = program("prepare.py", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


def test_published_archives_are_compared_with_published_checksums(program: Program, tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(b"something else")
    done = program("prepare.py", "verify-archives", "data=imagenet", f"data.root={tmp_path}")
    assert done.returncode == 2
    assert done.stdout == "ILSVRC2012_img_val.tar: NOT as published\n"


def test_the_digits_train_lenet5_from_a_store_of_jpegs(program: Program, tmp_path: Path) -> None:
    recipe = ("optim.learning_rate=0.1", "optim.batch_size=32", "data.flip=false", "optim.weight_decay=0")
    done = program("train.py", "data=digits", "model=lenet5", "data.packing=jpeg", "trainer.max_epochs=5", *recipe)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((only_store(tmp_path) / "manifest.json").read_text())["packing"] == "jpeg"
    [result] = tmp_path.glob("runs/**/result.json")
    assert json.loads(result.read_text())["metrics"]["val_top1_error"] < 0.5  # of a guess it is 0.9


def test_two_classes_of_photographs_train(program: Program, images: Path, tmp_path: Path) -> None:
    done = program("train.py", "data=folder", f"data.root={images}", "optim.batch_size=4", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr[-2000:]
    [result] = tmp_path.glob("runs/**/result.json")
    assert json.loads(result.read_text())["metrics"]["val_top5_error"] == 0.0


def test_a_folder_at_home(program: Program, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    done = program("prepare.py", "data=folder", "data.root=~/images", "data.store_root='~/datasets'", "model=mini")
    assert done.returncode == 0, done.stderr
    assert json.loads((only_store(tmp_path) / "manifest.json").read_text())["settings"]["root"] == str(images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "images"]  # and no folder called ~


def test_a_collection_that_is_refused_leaves_nothing(program: Program, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "notes.txt").write_text("no image")
    refused = program("prepare.py", "data=folder", "data.root=images")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "class cat: has no images in train" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_what_prepares_nothing_leaves_nothing(program: Program, tmp_path: Path) -> None:
    for asked, said in (
        (("-m", "data=fractals,digits"), "only src/train.py has sweeps"),
        (("hydra.mode=MULTIRUN",), "only src/train.py has sweeps"),
        (("trainer.num_nodes=0",), "trainer.num_nodes=0: must be from 1"),
    ):
        refused = program("prepare.py", *asked)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert said in refused.stderr
    assert not list(tmp_path.iterdir())
