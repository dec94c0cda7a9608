"""Parts of one's own in a run: they do what they are for, and are found again where the run is continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from continued_runs import outcome, own_signals, signal_at, train_until_done  # noqa: F401
from torch.nn import functional as F

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_json
from alexnet_lab.reports.heading import ended_early
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.result import read_result
from alexnet_lab.training import run
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train
from config.test_config import composed

pytestmark = pytest.mark.slow

MINE = "parts_of_ones_own"
CALLBACKS = "lightning.pytorch.callbacks"
OWN = (
    *("model=own", f"model._target_={MINE}.SmallNetwork", "model.input_size=28", "model.stored_size=32"),
    *("data=own", f"data._target_={MINE}.Stripes", "data.images_per_class=64"),
    *("optim=own", "optim._target_=torch.optim.AdamW", "optim.learning_rate=0.003", "optim.weight_decay=0.05"),
    *("optim.schedule={_target_:torch.optim.lr_scheduler.StepLR,interval:epoch,step_size:1}", "optim.warmup=0.3"),
    *("loss._target_=torch.nn.CrossEntropyLoss", "loss.label_smoothing=0.1"),
    *(f"callbacks.count._target_={MINE}.Counter", f"callbacks.rates._target_={CALLBACKS}.LearningRateMonitor"),
    *(f"callbacks.stop._target_={CALLBACKS}.EarlyStopping", "callbacks.stop.monitor=val_loss"),
    f"augmentation.invert._target_={MINE}.HalfInverted",
)


def own(store_root: Path, *overrides: str) -> RunConfig:
    """Three epochs of 6 steps."""
    small = ("optim.batch_size=64", "optim.epochs=3", "trainer.accelerator=cpu", "logger=none")
    return composed(*OWN, *small, f"data.store_root={store_root}", *overrides)


def all_of(folder: Path) -> dict[str, Any]:
    checkpoint = checkpoint_file.read(folder / "checkpoints" / "last.ckpt")
    states = {name: state for name, state in checkpoint["callbacks"].items() if "Record" not in name}
    states = {name: state for name, state in states.items() if not name.startswith("Continuation")}
    return {
        **outcome(folder),
        "rows of callbacks": (folder / "callback_metrics.csv").read_text(),
        "states": str(states),
    }


@pytest.fixture(scope="module")
def undisturbed(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("own")
    assert train_until_done(own(store_root), folder) == []
    return all_of(folder)


@pytest.mark.parametrize("step", [4, 6, 7, 18])  # an epoch has 6
def test_a_signal_after_any_step(
    step: int, undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_at(monkeypatch, "training_step", lambda module: module.trainer.global_step == step - 1)
    assert len(train_until_done(own(store_root), tmp_path)) == 1
    assert all_of(tmp_path) == undisturbed


def test_what_each_part_does(
    undisturbed: dict[str, Any], store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rates fall by StepLR's tenth each epoch after a warm-up, the loss has smoothed labels, callbacks log."""
    losses, expected = list[float](), list[float]()
    original = Classifier.training_loss

    def training_loss(self: Classifier, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = original(self, logits, targets)
        losses.append(loss.item())
        expected.append(F.cross_entropy(logits, targets, label_smoothing=0.1).item())
        return loss

    monkeypatch.setattr(Classifier, "training_loss", training_loss)
    train_until_done(own(store_root), tmp_path)
    assert losses == expected
    rates = [float(row["learning_rate"]) for row in undisturbed["rows"] if row["learning_rate"]]
    steps = [min(1.0, (step + 1) / 6) for step in range(18)]  # of the warm-up, 5 steps of 18
    assert rates == pytest.approx([0.003 * steps[step] * 0.1 ** (step // 6) for step in range(18)], rel=1e-6)
    counted = [line for line in undisturbed["rows of callbacks"].splitlines() if '"counted"' in line]
    assert counted == [f'{step},"counted",{step}' for step in range(1, 19)]
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["config"]["optim"]["_target_"] == "torch.optim.AdamW"


EARLY = ("callbacks.stop.monitor=train_loss", "callbacks.stop.patience=1", "callbacks.stop.min_delta=100")


def test_a_run_that_a_callback_ends_is_marked_and_ends_there_again(
    store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loss falls by 100: the second epoch is the last. Killed between its last checkpoint and its result, the run
    does not go on to a third.
    """
    early = own(store_root, *EARLY)

    def no_result(path: Path, value: Any, **options: Any) -> None:
        if path.name == "result.json":
            raise KeyboardInterrupt
        write_json(path, value, **options)

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_json", no_result)
        with pytest.raises(KeyboardInterrupt):
            train(early, tmp_path, [])
    train_until_done(early, tmp_path)
    result = read_result(tmp_path)
    assert result is not None
    assert (result["epochs"], result["steps"], early.trainer.max_epochs) == (2, 12, 3)
    assert ended_early({"base": {0: result}}) == ["1 of 1 runs were ended by a callback before their last epoch."]


def test_a_state_that_cannot_be_read_back_is_refused_before_it_is_kept(store_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"callbacks: the state of Hoarder holds a numpy.float64; only tensors"):
        train(own(store_root, f"callbacks.hoard._target_={MINE}.Hoarder"), tmp_path, [])
    assert not list(tmp_path.glob("checkpoints/*"))
