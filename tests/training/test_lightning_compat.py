"""Each private part of Lightning that is touched is there, and does what it is touched for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from alexnet_lab.training import lightning_compat

BATCHES = 3  # of an epoch


class Line(lightning.LightningModule):
    """y = w x, trained to nothing in particular; notes which (epoch, batch) it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: torch.Tensor, batch_index: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch_index))
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(torch.ones(BATCHES, 1))  # type: ignore[arg-type]


def trainer(*callbacks: Callback, **options: Any) -> lightning.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    bar = {"enable_progress_bar": any("Bar" in type(callback).__name__ for callback in callbacks)}
    own = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, **quiet, **bar}
    return lightning.Trainer(callbacks=list(callbacks), **own | options)


class At(Callback):
    """Calls a function within the run, at a hook of Lightning's."""

    def __init__(self, hook: str, call: Any) -> None:
        setattr(self, hook, call)


@pytest.mark.parametrize("alone", [True, False])
def test_signals_are_left_alone(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = []
    asked = trainer(At("on_train_start", lambda *_: handlers.append(signal.getsignal(signal.SIGTERM))))
    if alone:
        lightning_compat.leave_signals_alone(asked)
    before = signal.signal(signal.SIGTERM, own := lambda *_: None)
    try:
        asked.fit(Line())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (handlers == [own]) is alone  # without it Lightning installs one: the function is still needed


@pytest.mark.parametrize("silent", [True, False])
def test_rank_zero_is_not_asked_for_signals(silent: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def as_if_among_others(*_: Any) -> None:
        patch.setattr(torch.distributed, "is_initialized", lambda: True)
        patch.setattr(lightning.Trainer, "world_size", 2)
        patch.setattr(torch.distributed, "broadcast", lambda tensor, src: asked.append(src))

    with monkeypatch.context() as patch:
        alone_again = At("on_train_batch_start", lambda *_: patch.undo())
        fitting = trainer(At("on_train_epoch_start", as_if_among_others), alone_again)
        if silent:
            lightning_compat.ask_for_no_signals(fitting)
        fitting.fit(Line())
    assert asked == ([] if silent else [0])


def test_the_bar_says_what_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Bar(lightning_compat.DescribedBar):
        def describe(self, epoch: int) -> str:
            return f"round {epoch + 1}"

    said = []
    trainer(bar := Bar(), At("on_train_batch_end", lambda *_: said.append(bar.progress.tasks[0].description))).fit(
        Line()
    )
    assert {text.strip() for text in said} == {"round 1"}


def test_ranks_are_started_between_two_calls_and_by_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[Any] = []

    class Rank:
        def __init__(self, command: list[str], env: dict[str, str], cwd: str | None) -> None:
            happened.append(("started", env["LOCAL_RANK"], env["WORLD_SIZE"]))

    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    monkeypatch.setattr(subprocess, "Popen", Rank)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    launcher = lightning_compat.RankLauncher(
        LightningEnvironment(),
        3,
        1,
        lambda ranks: happened.append(list(ranks)),
        lambda procs: happened.append(len(procs)),
    )
    assert launcher.launch(lambda value: value + 1, 1) == 2
    assert happened == [[0, 1, 2], ("started", "1", "3"), ("started", "2", "3"), 2]
    assert not [thread for thread in threading.enumerate() if "observer" in thread.name]


def test_a_strategy_takes_its_launcher() -> None:
    class LaunchedError(Exception):
        pass

    class Launcher(lightning_compat.RankLauncher):
        def launch(self, *_: Any, **__: Any) -> None:
            raise LaunchedError(self.num_processes, self.num_nodes)

    strategy = lightning_compat.StartedBy(lambda *numbers: Launcher(*numbers, lambda _: None, lambda _: None))
    with pytest.raises(LaunchedError) as launched:
        trainer(strategy=strategy, devices=2).fit(Line())
    assert launched.value.args == (2, 1)


@pytest.mark.parametrize("place", [(1, 2), (2, 0)])
def test_a_run_goes_on_at_the_place_that_was_set(place: tuple[int, int], tmp_path: Path) -> None:
    epoch, batches = place
    file = tmp_path / "one.ckpt"

    def set_position(fitting: lightning.Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        step = epoch * BATCHES + batches
        checkpoint["global_step"] = step
        lightning_compat.set_loops(checkpoint["loops"]["fit_loop"], epoch, batches, step, fitting)

    saved = trainer(At("on_save_checkpoint", set_position))
    saved.fit(Line())
    saved.save_checkpoint(file)

    module, going_on = Line(), trainer(max_epochs=3)
    going_on.fit(module, ckpt_path=file, weights_only=True)
    assert module.seen == [
        (number, batch) for number in range(3) for batch in range(BATCHES) if (number, batch) >= place
    ]
    assert going_on.global_step == 3 * BATCHES


def test_an_epoch_is_shortened() -> None:
    line = Line()

    def shorten(asked: lightning.Trainer, module: lightning.LightningModule) -> None:
        if asked.current_epoch == 1:
            lightning_compat.shorten_epoch(asked, 2)

    asked = trainer(At("on_train_epoch_start", shorten), max_epochs=2)
    asked.fit(line)
    assert line.seen == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert (asked.current_epoch, asked.global_step) == (2, 5)
