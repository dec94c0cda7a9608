"""What goes wrong in training is said in one line with what helps."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from continued_runs import outcome, own_signals, tiny, train_until_done  # noqa: F401

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.reader import ImageReader
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.training.failures import ChanceLevelDetector
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_too_little_memory_names_the_batch_and_what_to_set(
    error: Exception, store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    def training_step(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Classifier, "training_step", training_step)
    with pytest.raises(UserError, match=r"out of memory with optim.batch_size=64: try optim.batch_size=32, "):
        train(tiny(store_root), tmp_path, [])


def test_a_dead_reader_of_images_ends_the_run_in_one_line(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    read = ImageReader.read

    def dies(self: ImageReader, samples: Any, epoch: int) -> Any:
        if epoch == 1:
            raise SystemExit(1)
        return read(self, samples, epoch)

    monkeypatch.setattr(ImageReader, "read", dies)
    with pytest.raises(UserError, match=r"batch 0 of epoch 1 could not be read: SystemExit\(1\)"):
        train(tiny(store_root, "data.workers=2"), tmp_path, [])
    monkeypatch.undo()
    assert train_until_done(tiny(store_root, "data.workers=2"), tmp_path) == []  # from the end of epoch 0


def test_a_run_that_diverges_keeps_its_last_checkpoint(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    step = Classifier.training_step

    def diverges(self: Classifier, *arguments: Any) -> torch.Tensor:
        loss = step(self, *arguments)
        return loss * math.nan if self.trainer.global_step == 10 else loss

    monkeypatch.setattr(Classifier, "training_step", diverges)
    with pytest.raises(UserError, match=r"loss is nan at step 11: training diverged; try a smaller optim.learning_rat"):
        train(tiny(store_root), tmp_path, [])
    checkpoint = checkpoint_file.read(tmp_path / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 7
    assert all(bool(torch.isfinite(weights).all()) for weights in checkpoint["state_dict"].values())


def test_weights_that_are_not_finite_are_never_saved(store_root: Path, tmp_path: Path, monkeypatch) -> None:
    optimizer_step = Classifier.optimizer_step

    def breaks(self: Classifier, *arguments: Any) -> None:
        optimizer_step(self, *arguments)
        if self.trainer.global_step == 10:
            with torch.no_grad():
                next(iter(self.network.parameters())).fill_(math.inf)

    monkeypatch.setattr(Classifier, "optimizer_step", breaks)
    with pytest.raises(UserError, match="the weights are not finite at step 11: training diverged"):
        train(tiny(store_root, "trainer.checkpoint_steps=1"), tmp_path, [])
    checkpoint = checkpoint_file.read(tmp_path / "checkpoints" / "last.ckpt")
    assert all(bool(torch.isfinite(weights).all()) for weights in checkpoint["state_dict"].values())


def test_a_stuck_loss_is_warned_of_once_and_recorded(store_root: Path, tmp_path: Path, caplog) -> None:
    """The classic: weights so small that nothing reaches the classes."""
    overrides = ("model.init_std=[1e-6,1e-6,1e-6,1e-6,1e-6,1e-6,1e-6,1e-6]", "trainer.stuck_after=16")
    train(tiny(store_root, *overrides), tmp_path, [])
    [warning] = outcome(tmp_path)["warnings"]
    assert "the loss is stuck at 1.94" in warning
    assert "after 16 steps, where guessing has 1.9459 (ln 7); what helps: larger model.init_std" in warning
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [warning]


def test_a_run_that_learns_slowly_is_not_warned_of() -> None:
    """From ln(1000), falling by a thousandth of itself in 100 steps; and one that takes off late."""
    slow, late = ChanceLevelDetector(1000, after=2000), ChanceLevelDetector(1000, after=2000)
    noise = torch.Generator().manual_seed(0)
    for step in range(1, 20_000):
        shaken = 0.05 * float(torch.randn((), generator=noise))
        assert slow.see(step, math.log(1000) * (1 - step / 100_000) + shaken) is None
        assert late.see(step, math.log(1000) * (1.0 if step < 1200 else 0.9) + shaken) is None


def test_a_loss_above_guessing_is_stuck_too() -> None:
    stuck = ChanceLevelDetector(10, after=100)
    said = [stuck.see(step, 2.4) for step in range(1, 101)]
    assert said[:-1] == [None] * 99
    assert "stuck at 2.4000 after 100 steps" in str(said[-1])
