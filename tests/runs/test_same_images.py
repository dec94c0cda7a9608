"""A run, a sweep and a table are of one collection of images, as it was when the first run began."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.reports.collect import collect
from alexnet_lab.runs.paths import job_name
from alexnet_lab.runs.result import read_result
from alexnet_lab.sweeps.planning import check_same_run
from leaf_images import leaf_run, make_leaves, prepared, prepared_anew, trained
from training.continued_runs import signal_at

pytestmark = pytest.mark.slow


@pytest.fixture
def leaves(tmp_path: Path) -> RunConfig:
    make_leaves(tmp_path / "leaves")
    return leaf_run(tmp_path)


def without_some(run: RunConfig) -> None:
    """Ten images are removed, and the collection is prepared anew."""
    for image in sorted(Path(str(run.data.root), "train", "oak").iterdir())[:10]:
        image.unlink()
    prepared_anew(run)


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
        after = prepared_anew(leaves).identity
        assert after != before
        before = after


def test_an_interrupted_run_does_not_go_on_with_other_images(leaves: RunConfig, tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", lambda module: module.trainer.global_step == 3)
        with pytest.raises(Preempted):
            trained(leaves, tmp_path / "run")
    without_some(leaves)
    said = r"run: was trained on other images \(120 to train on, .* than are prepared now \(110 to train on"
    with pytest.raises(UserError, match=said):
        trained(leaves, tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_results_of_other_images_are_taken_neither_for_complete_nor_into_a_table(
    leaves: RunConfig, tmp_path: Path
) -> None:
    folders = [tmp_path / "sweep" / job_name("base", [f"seed={seed}"]) for seed in (0, 1)]
    trained(leaves, folders[0])
    result: Any = read_result(folders[0])
    assert result["images"] == {"identity": prepared(leaves).identity, "classes": 6, "train": 120, "val": 30}
    check_same_run(folders[0], leaves)
    trained(leaves, folders[0])

    ash, elm = (tmp_path / "leaves" / "train" / name for name in ("ash", "elm"))
    (ash / "0.png").rename(elm / "another.png")  # and is not prepared anew
    for take in (lambda: check_same_run(folders[0], leaves), lambda: trained(leaves, folders[0])):
        with pytest.raises(UserError, match=r"has changed \(a file was moved, .* prepare them anew"):
            take()
    (elm / "another.png").rename(ash / "0.png")
    check_same_run(folders[0], leaves)

    without_some(leaves)
    for take in (lambda: check_same_run(folders[0], leaves), lambda: trained(leaves, folders[0])):
        with pytest.raises(UserError, match="was trained on other images"):
            take()
    leaves.seed = 1
    trained(leaves, folders[1])
    with pytest.raises(UserError, match=r"base_seed-1: was trained on other images \(110 .* than .*base_seed-0 \(120"):
        collect(tmp_path / "sweep", load_experiment("ablations"), [0, 1])
