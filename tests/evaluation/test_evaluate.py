"""src/evaluate.py on runs that were really trained, on one device and on two real processes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet_lab
from alexnet_lab.core.errors import UserError
from alexnet_lab.evaluation.members import load_members
from alexnet_lab.evaluation.views import probabilities, views_of
from alexnet_lab.weights.run_folder import load_run
from conftest import HANG, SMALL, SOURCE, Program, one_thread
from processes import begin, children_of, wait_for, working_in

pytestmark = pytest.mark.slow

IMAGES = 7 * 7


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> list[Path]:
    """Two runs on the same images, of seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("evaluated")
    small = [*SMALL, f"data.store_root={store_root}", "data.val_images_per_class=7"]
    for seed in (0, 1):
        command = [sys.executable, str(SOURCE / "train.py"), *small, f"seed={seed}", f"hydra.run.dir=run-{seed}"]
        subprocess.run(command, cwd=folder, env=one_thread(), check=True, capture_output=True)
    return [folder / "run-0", folder / "run-1"]


def result(folder: Path) -> dict:
    return json.loads((folder / "evaluation.json").read_text())


def test_the_centre_view_is_what_the_run_reported(program: Program, runs: list[Path]) -> None:
    answer = program("evaluate.py", f"run={runs[0]}")
    assert answer.returncode == 0, answer.stderr
    folder = runs[0] / "evaluation" / "centre-last"
    facts, reported = result(folder), json.loads((runs[0] / "result.json").read_text())["metrics"]
    assert facts["images"] == IMAGES
    for key in ("top1_error", "top5_error"):
        assert facts[key] == pytest.approx(reported[f"val_{key}"], abs=1e-6)
    assert f"{100 * facts['top1_error']:.2f} ±" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith(f"{folder}: top-1 error")

    confusion = np.load(folder / "confusion.npy")
    with (folder / "confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == confusion.tolist()
    with (folder / "per_class.csv").open() as file:
        classes = list(csv.DictReader(file))
    assert [row["class"] for row in classes] == rows[0][1:]
    for row, counts, number in zip(classes, confusion, range(7), strict=True):
        assert int(row["images"]) == counts.sum() == 7
        assert float(row["top1_error"]) == pytest.approx(1 - counts[number] / 7, abs=1e-6)
    with Image.open(folder / "confusion.png") as image:
        assert min(image.size) > 200


def test_a_loaded_model_answers_as_the_validation_did(runs: list[Path]) -> None:
    [member], store = load_members(runs[:1], "last", {})
    images, labels = store.images("val"), store.labels("val")
    model = alexnet_lab.load(runs[0], "last")
    assert model.class_names == store.class_names
    answers = model.predict([Image.fromarray(np.asarray(image)) for image in images], top=7)
    tensors = torch.from_numpy(np.array(images))
    view = views_of("centre", store.image_size, member.crop)
    with torch.inference_mode():
        expected = probabilities(member.network, tensors, member.pixel_mean, member.crop, view)
    for answer, row in zip(answers, expected, strict=True):
        by_name = dict(answer)
        assert [by_name[name] for name in store.class_names] == pytest.approx(row.tolist(), abs=1e-6)
    wrong = [answer[0].name != store.class_names[label] for answer, label in zip(answers, labels, strict=True)]
    reported = json.loads((runs[0] / "result.json").read_text())["metrics"]["val_top1_error"]
    assert sum(wrong) / IMAGES == pytest.approx(reported, abs=1e-6)
    by_file = alexnet_lab.load(runs[0] / "checkpoints" / "last.ckpt")
    for one, other in zip(by_file.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_ensemble_on_two_processes_averages_the_softmax_over_views_and_runs(
    program: Program, runs: list[Path], store_root: Path, tmp_path: Path
) -> None:
    asked = ("views=ten-crop", "devices=2", "accelerator=cpu", "out=together")
    answer = program("evaluate.py", f"run=[{runs[0]},{runs[1]}]", *asked)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("top-1 error,") == 1  # rank zero alone speaks

    members, store = load_members(runs, "last", {})
    images, labels = torch.from_numpy(np.array(store.images("val"))), store.labels("val")
    mean, total = torch.from_numpy(store.pixel_mean), []
    for member in members:
        crop, last = member.crop, store.image_size - member.crop
        views = []
        for top, left in ((0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)):
            window = (images.float() - mean)[:, top : top + crop, left : left + crop].permute(0, 3, 1, 2)
            views += [window, torch.flip(window, [3])]
        with torch.no_grad():
            total.append(sum(member.network(view).softmax(1) for view in views) / 10)
    facts = result(tmp_path / "together")
    for found, answers in zip([*facts["runs"], facts], [*total, (total[0] + total[1]) / 2], strict=True):
        assert found["images"] == IMAGES
        wrong = int((answers.argmax(1).numpy() != labels).sum())
        missing = sum(int(label not in row) for row, label in zip(answers.topk(5).indices.numpy(), labels, strict=True))
        assert found["top1_error"] == pytest.approx(wrong / IMAGES)
        assert found["top5_error"] == pytest.approx(missing / IMAGES)


def test_what_cannot_be_evaluated_is_refused_in_one_line(
    program: Program, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, said in (
        (["views=centre"], "run=: must be given"),
        ([f"run={runs[0]}", "views=five-crop"], "views=five-crop: must be one of centre, ten-crop"),
        ([f"run=[{runs[0]},{runs[0]}]"], "twice"),
        (["run=[]"], "names no run folder"),
        ([f"run={runs[0]}", "data.root=/tmp"], "reads no folder; drop data.root"),
        ([f"run={runs[0]}", "devices=0"], "devices=0: must be a whole number from 1 to 1024"),
        ([f"run={runs[0]}", "devices=1000", "accelerator=cpu"], "processes are the most"),
        ([f"run={runs[0]}", "out=/dev/null/x"], "may not be written"),
    ):
        answer = program("evaluate.py", *arguments)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert said in answer.stderr
        assert answer.stderr.count("\n") == 1

    with pytest.raises(UserError, match="no such folder"):
        load_members([tmp_path / "nowhere"], "last", {})
    with pytest.raises(UserError, match="is not a run folder"):
        load_members([tmp_path], "last", {})
    damaged = tmp_path / "damaged"
    shutil.copytree(runs[0], damaged)
    with (damaged / "checkpoints" / "last.ckpt").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match=r"last\.ckpt"):
        load_members([damaged], "last", {})
    other = tmp_path / "other"
    shutil.copytree(runs[1], other)
    config = (other / "config.yaml").read_text()
    assert "num_classes: 7" in config
    (other / "config.yaml").write_text(config.replace("num_classes: 7", "num_classes: 6"))
    with pytest.raises(UserError, match="tells 7 classes apart, the images have 6"):
        load_members([other], "last", {})
    (other / "config.yaml").write_text(config.replace("collection_seed: 0", "collection_seed: 1"))
    with pytest.raises(UserError, match="was validated on other images than"):
        load_members([runs[0], other], "last", {})


@pytest.mark.parametrize(
    ("rank", "number", "code", "said"),
    [
        (0, signal.SIGTERM, 75, "ended by SIGTERM before the ranks had met; the same command starts it again"),
        (1, signal.SIGKILL, 2, "error: rank 1 was ended by SIGKILL"),
    ],
)
def test_an_evaluation_ends_as_a_whole_and_says_why(
    rank: int, number: signal.Signals, code: int, said: str, runs: list[Path], tmp_path: Path
) -> None:
    asked = (f"run={runs[0]}", "devices=2", "accelerator=cpu", "out=answers")
    evaluation = begin("evaluate.py", *asked, folder=tmp_path)
    wait_for(lambda: children_of(evaluation.pid))
    os.kill([evaluation.pid, *children_of(evaluation.pid)][rank], number)
    stderr = evaluation.communicate(timeout=HANG)[1]
    assert evaluation.returncode == code
    assert stderr.startswith(f"{said}\n")
    assert "Traceback" not in stderr
    wait_for(lambda: not working_in(tmp_path))
    assert not list(tmp_path.iterdir())


def test_both_checkpoints_can_be_asked_for_and_images_may_have_moved(runs: list[Path], tmp_path: Path) -> None:
    [member], store = load_members([runs[0]], "best", {"data.store_root": str(tmp_path)})
    assert store.path.parent == tmp_path
    best = load_run(runs[0], "best").network.state_dict()
    assert all(torch.equal(tensor, best[name]) for name, tensor in member.network.state_dict().items())
