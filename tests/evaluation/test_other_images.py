"""A run knows its own classes and its own mean image, whatever becomes of the images that it was trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_bytes
from alexnet_lab.evaluation.evaluator import evaluate
from alexnet_lab.evaluation.members import load_members
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.weights.run_folder import load_run
from leaf_images import CLASSES, leaf_run, make_leaves, prepared, prepared_anew, trained


def top1_error(run: Path, moved: dict[str, str]) -> float:
    counts, _ = evaluate(*load_members([run], "last", moved), "centre", "cpu")
    return counts[-1].top1_error


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection, its store, and a run that tells its classes apart."""
    folder = tmp_path_factory.mktemp("finished")
    make_leaves(folder / "leaves")
    run = trained(leaf_run(folder), folder / "run")
    assert json.loads((run / "result.json").read_text())["metrics"]["val_top1_error"] < 0.2
    return folder


def test_classes_of_other_images_are_matched_by_name(finished: Path, tmp_path: Path) -> None:
    """The same classes, whose colours are exchanged: what was ash is yew. Then every answer is wrong, and only then."""
    before = top1_error(finished / "run", {})
    make_leaves(tmp_path / "copy")
    assert top1_error(finished / "run", {"data.root": str(tmp_path / "copy")}) == before
    make_leaves(tmp_path / "exchanged", CLASSES[::-1])
    assert top1_error(finished / "run", {"data.root": str(tmp_path / "exchanged")}) > 0.8

    # Names that sort in another order than the run's: "birch" is the last class here.
    make_leaves(tmp_path / "others", ["ash", "z", "elm", "fir", "oak", "yew"])
    with pytest.raises(UserError, match=r"run: knows no class z, which .* has; it knows ash, birch"):
        load_members([finished / "run"], "last", {"data.root": str(tmp_path / "others")})


def test_a_network_answers_in_the_order_of_its_own_classes(finished: Path, tmp_path: Path) -> None:
    """As if they had been read in the opposite order when it was trained."""
    shutil.copytree(finished / "run", tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint = checkpoint_file.read(file)
    checkpoint["images"]["class_names"].reverse()
    content = checkpoint_file.to_bytes(checkpoint)
    file.unlink()
    write_bytes(file, content, checkpoint_file.seal(content))
    [member], store = load_members([tmp_path / "run"], "last", {})
    assert store.class_names == list(CLASSES)
    assert member.columns.tolist() == [5, 4, 3, 2, 1, 0]
    assert top1_error(tmp_path / "run", {}) > 0.8


def test_after_a_class_was_renamed_the_run_keeps_its_names_and_its_mean(tmp_path: Path) -> None:
    make_leaves(tmp_path / "leaves")
    run = leaf_run(tmp_path)
    folder, mean = trained(run, tmp_path / "run"), np.array(prepared(run).pixel_mean)
    for split in ("train", "val"):
        (tmp_path / "leaves" / split / "ash").rename(tmp_path / "leaves" / split / "maple")
    assert prepared_anew(run).class_names == ["birch", "elm", "fir", "maple", "oak", "yew"]

    exported = load_run(folder, "last")
    assert exported.class_names == list(CLASSES)
    assert torch.equal(exported.pixel_mean, torch.from_numpy(mean))
    with pytest.raises(UserError, match=r"run: knows no class maple, which .* has; it knows ash, birch"):
        load_members([folder], "last", {})


def test_a_run_on_fractals_that_are_rendered_no_more_says_so() -> None:
    of_version_1 = Path(__file__).parents[1] / "runs" / "run_of_version_1"
    with pytest.raises(UserError, match="its images, fractals of an earlier version, are rendered no more"):
        load_members([of_version_1], "last", {})


def test_an_ensemble_is_of_runs_on_the_same_images(finished: Path, tmp_path: Path) -> None:
    other = trained(leaf_run(finished, "data.train_fraction=0.5", "optim.epochs=1"), tmp_path / "other")
    with pytest.raises(UserError, match=r"other: was validated on other images than run=.*run; evaluate it alone"):
        load_members([finished / "run", other], "last", {})


def test_images_that_have_changed_are_evaluated_only_where_they_are_named(tmp_path: Path, caplog) -> None:
    make_leaves(tmp_path / "leaves")
    run = leaf_run(tmp_path)
    folder, mean = trained(run, tmp_path / "run"), np.array(prepared(run).pixel_mean)
    for image in sorted((tmp_path / "leaves" / "train" / "oak").iterdir())[:10]:
        image.unlink()
    assert not np.array_equal(prepared_anew(run).pixel_mean, mean)
    with pytest.raises(UserError, match=r"run: was trained on other images than are in .* say data.root=DIR"):
        load_members([folder], "last", {})
    [member], _ = load_members([folder], "last", {"data.root": str(tmp_path / "leaves")})
    assert np.array_equal(member.pixel_mean, mean)  # of the images that it was trained on
    assert "run: was trained on other images than are in" in caplog.text
