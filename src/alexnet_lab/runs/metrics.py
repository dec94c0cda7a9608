"""metrics.csv: a row for each recorded step and one for each validated epoch. Steps count from 1, epochs from 0."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

METRICS_FILE = "metrics.csv"
COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "train_loss",
    "learning_rate",
    "train_epoch_loss",
    "train_top1_error",
    "val_loss",
    "val_top1_error",
    "val_top5_error",
    "images_per_second",
)


def row_text(values: Mapping[str, float]) -> str:
    """A row of these columns, as a line."""
    return ",".join(_text(values.get(column)) for column in COLUMNS) + "\n"


def rows_so_far(path: Path, step: int, epochs: int) -> str:
    """The head of metrics.csv and those of its rows that tell of steps and epochs that are done.

    Rows of steps that an interrupted session took after its last checkpoint are left out: they come again.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    if step and path.exists():
        whole_lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        for row in csv.DictReader(whole_lines):
            with suppress(KeyError, ValueError, TypeError):  # a row that a crash has damaged
                of_a_step = row["train_loss"] != ""
                if int(row["step"]) <= step if of_a_step else int(row["epoch"]) < epochs:
                    writer.writerow({column: row[column] for column in COLUMNS})
    return text.getvalue()


def values_of_step(rows: str, step: int) -> Iterator[dict[str, float]]:
    """What rows of metrics.csv say of a step."""
    for row in csv.DictReader(io.StringIO(rows)):
        if int(row["step"]) == step:
            yield {column: float(value) for column, value in row.items() if value}


def best_epoch(errors: Sequence[float]) -> int:
    """Which validation, from 0, has the lowest top-1 error; of equal ones the first."""
    return min(range(len(errors)), key=lambda epoch: errors[epoch])


def best_and_final_errors(folder: Path) -> dict[str, float]:
    """From metrics.csv, which a run that is continued goes on writing: the last epoch's errors, and the best epoch."""
    try:
        with (folder / METRICS_FILE).open(newline="", encoding="utf-8") as file:
            epochs = [row for row in csv.DictReader(file) if row["val_top1_error"]]
    except (OSError, ValueError, KeyError):
        return {}
    if not epochs:
        return {}
    best = epochs[best_epoch([float(row["val_top1_error"]) for row in epochs])]
    keys = ("val_top1_error", "val_top5_error", "train_top1_error")
    final = {f"final_{key}": float(epochs[-1][key]) for key in keys}
    return {
        **final,
        "best_val_top1_error": float(best["val_top1_error"]),
        "best_val_top5_error": float(best["val_top5_error"]),
        "best_epoch": int(best["epoch"]) + 1,
    }


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
