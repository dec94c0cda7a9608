"""metrics.csv: what a continued run keeps of it, and the best epoch in it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.metrics import (
    COLUMNS,
    best_and_final_errors,
    best_epoch,
    read_epochs,
    row_text,
    rows_so_far,
    values_of_step,
)

HEAD = ",".join(COLUMNS) + "\n"


def step(number: int) -> str:
    return row_text({"epoch": (number - 1) // 2, "step": number, "train_loss": 1 / number, "learning_rate": 0.01})


def epoch(number: int, error: float) -> str:
    errors = dict.fromkeys(("train_top1_error", "val_top1_error", "val_top5_error"), error)
    return row_text({"epoch": number, "step": 2 * (number + 1), "val_loss": 2.0, **errors})


def test_rows_of_steps_after_the_checkpoint_are_left_out_and_damaged_ones_too(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    kept = HEAD + step(1) + step(2) + epoch(0, 0.5) + step(3)
    file.write_text(kept + step(4) + epoch(1, 0.25) + "not,a,row\n" + "2,5,cut sh")
    assert rows_so_far(file, step=3, epochs=1) == kept
    assert rows_so_far(file, step=0, epochs=0) == HEAD
    assert [values["train_loss"] for values in values_of_step(kept, 2) if "train_loss" in values] == [0.5]


def test_of_equally_good_epochs_the_first_is_the_best(tmp_path: Path) -> None:
    assert best_epoch([0.5, 0.25, 0.25, 0.75]) == 1
    (tmp_path / "metrics.csv").write_text(HEAD + "".join(epoch(n, e) for n, e in enumerate([0.5, 0.25, 0.25, 0.75])))
    errors = best_and_final_errors(tmp_path)
    assert (errors["best_epoch"], errors["best_val_top1_error"], errors["final_val_top1_error"]) == (2, 0.25, 0.75)
    assert best_and_final_errors(tmp_path / "elsewhere") == {}


def test_rows_say_whether_they_are_of_a_step_or_of_an_epoch(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(HEAD + step(1) + step(2) + epoch(0, 0.5))
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["step", "step", "epoch"]
    [row] = read_epochs(tmp_path)
    assert (row["epoch"], row["val_top1_error"], "train_loss" in row) == (0, 0.5, False)


def test_a_run_that_a_version_without_kinds_began_goes_on_with_them(tmp_path: Path) -> None:
    whole = HEAD + step(1) + step(2) + epoch(0, 0.5)
    file = tmp_path / "metrics.csv"
    file.write_text("".join(line.partition(",")[2] for line in whole.splitlines(keepends=True)))
    assert not file.read_text().startswith("kind")
    assert rows_so_far(file, step=2, epochs=1) == whole


@pytest.mark.parametrize("wrong", ["3,0,nan,,", "epoch", "2.5"])
def test_errors_that_are_none_are_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "metrics.csv").write_text(HEAD + epoch(0, 0.5).replace("0.5", wrong))
    with pytest.raises(UserError, match=r"metrics\.csv: cannot be read"):
        read_epochs(tmp_path)
