"""Lightning's own arguments of a trainer: each works, and a run with it goes on to the same bits, or says why not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from continued_runs import outcome, signal_at, tiny, train_until_done

from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core import parallel
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train

# By name: overrides, and the steps of the run; a whole one has 3 epochs of 7 batches.
RUNS = {
    "accumulated": (("trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.1"), 9),
    "ended early": (("trainer.max_steps=11", "optim.schedule=cosine"), 11),
    "accumulated, ended early": (("trainer.max_steps=5", "trainer.accumulate_grad_batches=2"), 5),
    "a part": (("trainer.limit_train_batches=4", "trainer.limit_val_batches=0.5", "trainer.max_steps=6"), 6),
    "by heart": (("trainer.overfit_batches=2", "trainer.num_sanity_val_steps=1"), 6),
    "every third": (("trainer.check_val_every_n_epoch=3", "trainer.inference_mode=false"), 21),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_to_the_same_bits(name: str, store_root: Path, tmp_path: Path, monkeypatch) -> None:
    overrides, steps = RUNS[name]
    run = tiny(store_root, *overrides)
    assert train_until_done(run, tmp_path / "whole") == []
    whole = outcome(tmp_path / "whole")
    assert whole["steps"] == steps
    assert [int(row["step"]) for row in whole["rows"] if row["train_loss"]] == [*range(1, steps + 1)]
    assert int(whole["rows"][-1]["step"]) == steps  # it is validated where it ends
    assert whole["rows"][-1]["val_top1_error"] != ""

    def within_an_accumulation(module: Classifier) -> bool:
        return module.trainer.global_step == steps - 1

    def in_the_last_validation(module: Classifier) -> bool:
        return module.trainer.global_step == steps and not module.trainer.sanity_checking

    for number, (hook, when) in enumerate(
        [("training_step", within_an_accumulation), ("validation_step", in_the_last_validation)]
    ):
        with monkeypatch.context() as patch:
            signal_at(patch, hook, when)
            [said] = train_until_done(run, tmp_path / str(number))
        assert f"of {steps}, which is saved" in said
        assert outcome(tmp_path / str(number)) == whole


@pytest.mark.slow
def test_a_step_of_accumulated_batches_is_that_of_their_union(store_root: Path, tmp_path: Path) -> None:
    """Two batches of 32 images are one of 64, in a network that draws nothing and does not see other images."""
    plain = ("model.dropout=0", "data.color_noise=0", "data.random_crop=false", "data.flip=false")
    weights = []
    for batch, batches in ((64, 1), (32, 2)):
        overrides = (f"optim.batch_size={batch}", f"trainer.accumulate_grad_batches={batches}", "trainer.max_steps=5")
        folder = tmp_path / str(batch)
        folder.mkdir()
        train(tiny(store_root, *plain, *overrides, "optim.warmup=0"), folder, [])
        state = checkpoint_file.read(folder / "checkpoints" / "last.ckpt")["state_dict"]
        weights.append(torch.cat([tensor.flatten() for key, tensor in state.items() if key.startswith("network.")]))
    assert torch.allclose(*weights, atol=1e-6)
    assert not torch.equal(*weights)  # they were made another way


@pytest.mark.slow
def test_a_clipped_step_is_no_longer_than_asked_for(store_root: Path, tmp_path: Path) -> None:
    """Without momentum or decay, from the first step to the second, the weights move by rate times norm at most."""
    one = (
        "optim.momentum=0", "optim.weight_decay=0", "optim.warmup=0", "optim.bias_learning_rate_factor=1",
        "optim.learning_rate=0.5", "optim.schedule=constant",
    )  # fmt: skip
    for precision in ("32", "bf16"):
        moved = []
        for steps in (1, 2):
            folder = tmp_path / f"{precision}-{steps}"
            folder.mkdir()
            clipped = (f"trainer.precision={precision}", "trainer.gradient_clip_val=0.01")
            train(tiny(store_root, *one, *clipped, f"trainer.max_steps={steps}"), folder, [])
            state = checkpoint_file.read(folder / "checkpoints" / "last.ckpt")["state_dict"]
            moved.append(torch.cat([state[key].flatten() for key in sorted(state) if key.startswith("network.")]))
        distance = float(torch.linalg.vector_norm(moved[1] - moved[0]))
        assert distance == pytest.approx(0.5 * 0.01, rel=0.01)


@pytest.mark.slow
def test_a_run_that_saw_a_part_says_so(store_root: Path, tmp_path: Path) -> None:
    for name, limits in {
        "trainer.fast_dev_run=true": ["trainer.fast_dev_run=1"],
        "trainer.limit_train_batches=2": ["trainer.limit_train_batches=2"],
        "trainer.max_steps=1000": [],
        "trainer.limit_val_batches=1.0": [],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        train(tiny(store_root, name), folder, [])
        result = json.loads((folder / "result.json").read_text())
        assert result["partial"] == limits
        if "fast" in name:
            assert (result["epochs"], result["steps"]) == (1, 1)
        elif not limits:
            assert (result["epochs"], result["steps"]) == (3, 21)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["simple", "advanced", "pytorch"])
def test_a_profile_lies_in_the_run_folder(kind: str, store_root: Path, tmp_path: Path) -> None:
    train(tiny(store_root, f"trainer.profiler={kind}", "trainer.fast_dev_run=true"), tmp_path, [])
    assert "FIT Profiler Report" in (tmp_path / "profiler" / f"fit-{kind}.txt").read_text()


@pytest.mark.slow
def test_an_anomaly_is_one_line(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    original = Classifier.training_step

    def broken(self: Classifier, batch: Any, batch_index: int) -> torch.Tensor:
        loss = original(self, batch, batch_index)
        return loss + torch.sqrt(loss * 0)  # whose gradient there is infinite, times 0

    monkeypatch.setattr(Classifier, "training_step", broken)
    with pytest.raises(UserError, match=r"^Function 'SqrtBackward0|^Function 'MulBackward0' returned nan .*anomaly"):
        train(tiny(store_root, "trainer.detect_anomaly=true", "trainer.fast_dev_run=1"), tmp_path, [])


def settled(**options: Any) -> TrainerConfig:
    choice = TrainerConfig(**options)
    choice.settle()
    return choice


def test_other_names_of_values(store_root: Path, monkeypatch) -> None:
    for given, kept in {
        "trainer.precision=16": ("precision", "16-mixed"),
        "trainer.precision=bf16": ("precision", "bf16-mixed"),
        "trainer.precision=32": ("precision", "32-true"),
        "trainer.max_steps=-1": ("max_steps", None),
        "trainer.strategy=ddp_find_unused_parameters_false": ("strategy", "ddp"),
        "trainer.gradient_clip_val=0.0": ("gradient_clip_val", None),
        "trainer.limit_train_batches=1.0": ("limit_train_batches", None),
        "trainer.limit_train_batches=1": ("limit_train_batches", 1),
        "trainer.deterministic=warn": ("deterministic", "warn"),
        "trainer.devices=auto": ("devices", 1),
        "trainer.devices='1'": ("devices", 1),
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        accelerator = "auto" if "16" in given and "bf16" not in given else "cpu"
        run = tiny(store_root, f"trainer.accelerator={accelerator}", given)
        assert getattr(run.trainer, kept[0]) == kept[1], given
        assert type(getattr(run.trainer, kept[0])) is type(kept[1])
    monkeypatch.setattr(parallel, "shutil", None)  # nothing is asked where the environment says it
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert settled(devices="auto").devices == 2
    assert settled(devices=-1, accelerator="gpu").devices == 2
    assert settled(devices="auto", accelerator="cpu").devices == 1


def test_a_part_of_an_epoch_has_one_batch_at_least() -> None:
    from alexnet_lab.data.batches import limited

    assert [limited(15, limit) for limit in (None, 4, 99, 0.5, 0.001, 1.0)] == [15, 4, 15, 7, 1, 15]
    assert math.ceil(limited(15, 4) / 3) == 2
