"""A run, a sweep and a table are of one collection of images, as it was when the first run began."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from continued_runs import own_signals, signal_at, train_until_done  # noqa: F401
from PIL import Image

from alexnet_lab.config import RunConfig
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store
from alexnet_lab.errors import Preempted, UserError
from alexnet_lab.experiments.experiment import load_experiment
from alexnet_lab.experiments.planning import check_same_run
from alexnet_lab.experiments.run_folders import job_name
from alexnet_lab.reports.collect import collect
from alexnet_lab.training.result import read_result
from alexnet_lab.training.run import train
from test_config import composed

CLASSES = ("ash", "birch", "elm", "fir", "oak", "yew")


@pytest.fixture
def leaves(tmp_path: Path) -> RunConfig:
    """A run of two epochs of three steps on 6 classes of 20 images; its collection lies in tmp_path/leaves."""
    random = np.random.default_rng(0)
    for split, number in (("train", 20), ("val", 5)):
        for shade, name in enumerate(CLASSES):
            (tmp_path / "leaves" / split / name).mkdir(parents=True)
            for index in range(number):
                pixels = np.clip(random.normal(40 * shade + 20, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "leaves" / split / name / f"{index}.png")
    return composed(
        *("data=folder", f"data.root={tmp_path / 'leaves'}", f"data.store_root={tmp_path / 'datasets'}"),
        *("model.input_size=32", "model.stored_size=32", "model.width=0.05", "model.towers=1"),
        *("optim.batch_size=40", "optim.epochs=2", "trainer.accelerator=cpu", "logger=none"),
    )


def prepared(run: RunConfig) -> Store:
    return prepare_store(Path(run.data.store_root), make_source(run.data))


def without_some(run: RunConfig) -> None:
    """Ten images are removed, and the collection is prepared anew."""
    for image in sorted(Path(str(run.data.root), "train", "oak").iterdir())[:10]:
        image.unlink()
    shutil.rmtree(run.data.store_root)
    prepared(run)


def test_a_stores_identity_is_that_of_its_images_labels_and_names(leaves: RunConfig, tmp_path: Path) -> None:
    before = prepared(leaves).identity
    assert len(before) == 64
    shutil.copytree(tmp_path / "leaves", tmp_path / "copy")  # elsewhere, later
    leaves.data.root, leaves.data.store_root = str(tmp_path / "copy"), str(tmp_path / "others")
    assert prepared(leaves).identity == before
    for changes in ([("oak", "maple")], [("ash", "a"), ("elm", "ash"), ("a", "elm")]):  # renamed; two exchanged
        for split in ("train", "val"):
            for old, new in changes:
                (tmp_path / "copy" / split / old).rename(tmp_path / "copy" / split / new)
        shutil.rmtree(leaves.data.store_root)
        after = prepared(leaves).identity
        assert after != before
        before = after


def test_an_interrupted_run_does_not_go_on_with_other_images(leaves: RunConfig, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "run").mkdir()
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", lambda module: module.trainer.global_step == 3)
        with pytest.raises(Preempted):
            train(leaves, tmp_path / "run", [])
    without_some(leaves)
    said = r"run: was trained on other images \(120 to train on, .* than are prepared now \(110 to train on"
    with pytest.raises(UserError, match=said):
        train(leaves, tmp_path / "run", [])
    assert not (tmp_path / "run" / "result.json").exists()


def test_results_of_other_images_are_taken_neither_for_complete_nor_into_a_table(
    leaves: RunConfig, tmp_path: Path
) -> None:
    folders = [tmp_path / "sweep" / job_name("base", [f"seed={seed}"]) for seed in (0, 1)]
    train_until_done(leaves, folders[0])
    result: Any = read_result(folders[0])
    assert result["images"] == {"identity": prepared(leaves).identity, "classes": 6, "train": 120, "val": 30}
    check_same_run(folders[0], leaves)
    train(leaves, folders[0], [])

    without_some(leaves)
    for take in (lambda: check_same_run(folders[0], leaves), lambda: train(leaves, folders[0], [])):
        with pytest.raises(UserError, match="was trained on other images"):
            take()
    leaves.seed = 1
    train_until_done(leaves, folders[1])
    with pytest.raises(UserError, match=r"base_seed-1: was trained on other images \(110 .* than .*base_seed-0 \(120"):
        collect(tmp_path / "sweep", load_experiment("ablations"), [0, 1])
