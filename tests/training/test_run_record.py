"""What metrics.csv says is what happened."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from continued_runs import STEPS, own_signals, tiny  # noqa: F401

from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train


@pytest.mark.parametrize(
    "recipe",
    [
        ("optim.schedule=milestones", "optim.milestones=[0.3,0.6]"),
        ("optim.schedule=linear", "optim.warmup=0.2"),
        ("optim.schedule=plateau", "optim.validations=null", "optim.plateau_patience=0", "optim.learning_rate=1e-5"),
    ],
)
def test_the_learning_rate_of_a_row_is_that_of_its_step(
    recipe: tuple[str, ...], store_root: Path, tmp_path: Path, monkeypatch
) -> None:
    taken = list[float]()
    step = Classifier.optimizer_step

    def optimizer_step(self: Classifier, *arguments: Any) -> None:
        taken.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        step(self, *arguments)

    monkeypatch.setattr(Classifier, "optimizer_step", optimizer_step)
    train(tiny(store_root, *recipe), tmp_path, [])
    with (tmp_path / "metrics.csv").open() as file:
        written = [float(row["learning_rate"]) for row in csv.DictReader(file) if row["learning_rate"]]
    assert len(taken) == STEPS
    assert len(set(taken)) > 1
    assert written == pytest.approx(taken)
