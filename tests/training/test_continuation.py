"""A run that was interrupted anywhere ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from continued_runs import STEPS, outcome, signal_at, tiny, train_until_done

from alexnet_lab.core import environment
from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.core.files import write_json
from alexnet_lab.training import checkpoints, run
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train

pytestmark = pytest.mark.slow

RECIPES = {
    "milestones": ("optim.schedule=milestones", "optim.milestones=[0.3,0.6]"),
    "every third epoch": ("optim.schedule=linear", "optim.warmup=0.3", "optim.validations=1"),
    "plateau": ("optim.schedule=plateau", "optim.plateau_patience=0", "optim.learning_rate=0.00001"),
}


@pytest.fixture(scope="module")
def undisturbed(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of each recipe, run in one go."""
    found = {}
    for name, recipe in RECIPES.items():
        folder = tmp_path_factory.mktemp(name)
        assert train_until_done(tiny(store_root, *recipe), folder) == []
        found[name] = outcome(folder)
    rates = [row["learning_rate"] for row in found["plateau"]["rows"] if row["learning_rate"]]
    assert len(set(rates)) > 1  # the plateau was noticed
    return found


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("step", [1, 5, 7, 8, 14, 18, STEPS])  # an epoch has 7
def test_a_signal_after_any_step(
    recipe: str, step: int, undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == step - 1)
    [said] = train_until_done(tiny(store_root, *RECIPES[recipe]), tmp_path)
    assert f"ended by SIGTERM after step {step} of {STEPS}, which is saved; continue with: python src/train.py" in said
    assert outcome(tmp_path) == undisturbed[recipe]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_a_signal_during_validation(
    recipe: str, number: int, undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    epoch = 2 if recipe == "every third epoch" else 1
    signal_at(monkeypatch, "validation_step", lambda module: module.current_epoch == epoch, number)
    [said] = train_until_done(tiny(store_root, *RECIPES[recipe]), tmp_path)
    assert f"ended by {signal.Signals(number).name} after step {7 * (epoch + 1)} of" in said
    assert outcome(tmp_path) == undisturbed[recipe]


def test_mixed_precision_too_continues_bit_for_bit(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    mixed = tiny(store_root, "trainer.precision=bf16-mixed")
    assert train_until_done(mixed, tmp_path / "whole") == []
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 9)
    assert len(train_until_done(mixed, tmp_path / "parts")) == 1
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_signals_while_a_checkpoint_is_written(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    original, sent = checkpoints.write_bytes, list[Path]()

    def write_bytes(path: Path, *parts: Any, **options: Any) -> None:
        if not sent:
            for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                os.kill(os.getpid(), number)
        sent.append(path)
        original(path, *parts, **options)

    monkeypatch.setattr(checkpoints, "write_bytes", write_bytes)
    said = train_until_done(tiny(store_root, *RECIPES["milestones"], "trainer.checkpoint_steps=4"), tmp_path)
    assert len(said) == 1
    assert outcome(tmp_path) == undisturbed["milestones"]


def test_an_end_between_the_last_checkpoint_and_the_result(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    def no_result(path: Path, value: Any, **options: Any) -> None:
        if path.name == "result.json":
            raise OSError(28, "No space left on device", str(path))
        write_json(path, value, **options)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_json", no_result)
        with pytest.raises(Preempted, match=r"No space left on device: .*result.json; make room, then: python"):
            train(tiny(store_root, *RECIPES["milestones"]), tmp_path, [])
    assert train_until_done(tiny(store_root, *RECIPES["milestones"]), tmp_path) == []
    assert outcome(tmp_path) == undisturbed["milestones"]


def flip(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    file.unlink()  # it may be the same file as best.ckpt
    file.write_bytes(content)


def cut(file: Path, place: float) -> None:
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: int(place * (len(content) - 1))])


@pytest.mark.parametrize("damage", [flip, cut])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99999, 1.0])
def test_a_damaged_checkpoint_is_passed_over(
    damage, place: float, undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    configuration = tiny(store_root, *RECIPES["milestones"], "trainer.checkpoint_steps=4")
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 17)
    with pytest.raises(Preempted, match="after step 18"):
        train(configuration, tmp_path, [])
    damage(tmp_path / "checkpoints" / "last.ckpt", place)
    assert train_until_done(configuration, tmp_path) == []
    assert "last.ckpt: is damaged or cut short, its checksum does not fit; trying the one before" in caplog.text
    assert outcome(tmp_path) == undisturbed["milestones"]


def test_where_no_checkpoint_is_whole_it_starts_anew_and_says_so(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    configuration = tiny(store_root, *RECIPES["milestones"])
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 17)
    with pytest.raises(Preempted):
        train(configuration, tmp_path, [])
    for file in (tmp_path / "checkpoints").iterdir():
        flip(file, 0.3)
    assert train_until_done(configuration, tmp_path) == []
    assert "no checkpoint is whole (last.ckpt, previous.ckpt, best.ckpt): starting from the beginning" in caplog.text
    assert outcome(tmp_path) == undisturbed["milestones"]


def test_what_a_killed_writer_leaves_is_removed(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    configuration = tiny(store_root, *RECIPES["milestones"])
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 9)
    with pytest.raises(Preempted):
        train(configuration, tmp_path, [])
    whole = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    for name in (".last.ckpt.new.123", "last.ckpt.new", ".best.ckpt.123"):
        (tmp_path / "checkpoints" / name).write_bytes(whole[:1000])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("1,11,0.5,1.9,0.008,,,,,,\n1,12,0.6,1.")  # of steps after the checkpoint; the last is not whole
    assert train_until_done(configuration, tmp_path) == []
    names = {file.name for file in (tmp_path / "checkpoints").iterdir()}
    assert names == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    assert outcome(tmp_path) == undisturbed["milestones"]


def test_a_clock_that_is_set_back_changes_nothing(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    import time

    now, asked = time.time, list[float]()

    def back() -> float:
        asked.append(now())
        return asked[-1] - 86400 * len(asked)  # a day earlier each time

    monkeypatch.setattr(time, "time", back)
    monkeypatch.setattr(time, "time_ns", lambda: int(back() * 1e9))
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 9)
    assert len(train_until_done(tiny(store_root, *RECIPES["milestones"]), tmp_path)) == 1
    assert asked
    assert outcome(tmp_path) == undisturbed["milestones"]
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0 < result["wall_seconds"] < 300
    assert result["train_images_per_second"] > 0


def test_other_settings_are_refused_and_a_complete_run_is_left_alone(
    store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    with monkeypatch.context() as patch:
        signal_at(patch, "training_step", lambda module: module.trainer.global_step == 9)
        with pytest.raises(Preempted):
            train(tiny(store_root), tmp_path, [])
    with pytest.raises(
        UserError, match=r"was made with optim.momentum=0.9, not 0.5; choose another sweep=NAME or folder"
    ):
        train(tiny(store_root, "optim.momentum=0.5"), tmp_path, [])
    train_until_done(tiny(store_root), tmp_path)
    with pytest.raises(UserError, match=r"was made with optim.momentum=0.9, not 0.5"):
        train(tiny(store_root, "optim.momentum=0.5"), tmp_path, [])
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    monkeypatch.setattr(Classifier, "training_step", None)  # nothing is trained
    train(tiny(store_root, "trainer.checkpoint_minutes=5"), tmp_path, [])
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_run_that_goes_on_with_other_code_or_threads_says_so(store_root: Path, tmp_path: Path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(environment, "commit", lambda: "a" * 40)
        signal_at(patch, "training_step", lambda module: module.trainer.global_step == 8)
        with pytest.raises(Preempted):
            train(tiny(store_root), tmp_path, [])
    assert "computed otherwise" not in caplog.text
    monkeypatch.setattr(environment, "commit", lambda: "b" * 40)
    torch.set_num_threads(2)  # the fixture sets it back
    train_until_done(tiny(store_root), tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    told = [(part["from_step"], part["commit"][0], part["threads"]) for part in result["parts"]]
    assert told == [(0, "a", 1), (9, "b", 2)]
    assert result["commit"] == "b" * 40
    assert (
        "from step 9 on this run is computed otherwise than before, so its bits may differ: commit bbb" in caplog.text
    )
    assert "threads 2, not 1" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_too_continues_bit_for_bit(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    configuration = tiny(store_root, "trainer.accelerator=gpu", "trainer.deterministic=true")
    train_until_done(configuration, tmp_path / "whole")
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == 9)
    assert len(train_until_done(configuration, tmp_path / "parts")) == 1
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
