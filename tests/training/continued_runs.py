"""Small runs that are interrupted and continued, and what may not depend on that."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import Preempted
from alexnet_lab.core.signals import ASKS_TO_END
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train
from config.test_config import composed

EPOCHS, STEPS = 3, 21
TIMES = ("seconds", "images_per_second")  # columns of metrics.csv that differ from run to run
TINY = (
    "data.num_classes=7",
    "data.train_images_per_class=64",
    "data.val_images_per_class=60",
    "optim.batch_size=64",
    f"optim.epochs={EPOCHS}",
    "model.width=0.05",
    "model.towers=1",
    "trainer.accelerator=cpu",
    "logger=none",
)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """A run in this process takes over the signals: give them back. One thread: what is tested is small."""
    before = {number: signal.getsignal(number) for number in ASKS_TO_END}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for number, handler in before.items():
        signal.signal(number, handler)


def tiny(store_root: Path, *overrides: str) -> RunConfig:
    """A network with dropout, 3 epochs of 7 steps and of 2 batches of validation; a fraction of a second."""
    return composed(*TINY, f"data.store_root={store_root}", *overrides)


def signal_at(
    patch: pytest.MonkeyPatch, hook: str, when: Callable[[Classifier], bool], number: int = signal.SIGTERM
) -> None:
    """Send this process a signal when that hook of the training module is called and `when` says so, once."""
    original, sent = getattr(Classifier, hook), list[bool]()

    def hooked(self: Classifier, *arguments: Any) -> Any:
        if when(self) and not sent:
            sent.append(True)
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    patch.setattr(Classifier, hook, hooked)


def train_until_done(run: RunConfig, folder: Path) -> list[str]:
    """Start a run again until it is done; what it said each time that it was interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    said = list[str]()
    while not (folder / "result.json").exists():
        assert len(said) < 10
        try:
            train(run, folder, [])
        except Preempted as preempted:
            said.append(str(preempted))
    return said


def outcome(folder: Path) -> dict[str, Any]:
    """Everything about a finished run that may not depend on interruptions: every bit of it, times apart."""
    result = json.loads((folder / "result.json").read_text())
    with (folder / "metrics.csv").open() as file:
        rows = [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]
    checkpoints = {}
    for name in ("last.ckpt", "best.ckpt"):
        checkpoint = checkpoint_file.read(folder / "checkpoints" / name)
        tensors = list(checkpoint["state_dict"].values())
        for state in checkpoint["optimizer_states"][0]["state"].values():  # of the paper's, a velocity
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        checkpoints[name] = [tensor.numpy().tobytes() for tensor in tensors], checkpoint["lr_schedulers"]
    told = ("metrics", "steps", "epochs", "parameters", "warnings")
    return {"rows": rows, "checkpoints": checkpoints, **{key: result[key] for key in told}}
