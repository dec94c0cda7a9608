"""metrics.csv: a row for each recorded step and one for each validated epoch, told apart by the column `kind`.

Steps count from 1, epochs from 0.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_bytes

METRICS_FILE = "metrics.csv"
LARGEST = 2**28  # bytes; a row of each of a million steps has a quarter of that
STEP, EPOCH = "step", "epoch"
COLUMNS = (
    "kind",
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

# What the module logs after each validation, for callbacks to watch.
LOGGED = ("train_loss", "train_top1_error", "val_loss", "val_top1_error", "val_top5_error")


def row_text(values: Mapping[str, float]) -> str:
    """A row of these columns, as a line."""
    kind = STEP if "train_loss" in values else EPOCH
    return ",".join([kind, *(_text(values.get(column)) for column in COLUMNS[1:])]) + "\n"


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
                kind = _kind(row)
                if int(row["step"]) <= step if kind == STEP else int(row["epoch"]) < epochs:
                    writer.writerow({"kind": kind} | {column: row[column] for column in COLUMNS[1:]})
    return text.getvalue()


def values_of_step(rows: str, step: int) -> Iterator[dict[str, float]]:
    """What rows of metrics.csv say of a step."""
    for row in csv.DictReader(io.StringIO(rows)):
        if int(row["step"]) == step:
            yield {column: float(value) for column, value in row.items() if value and column != "kind"}


def read_epochs(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's validated epochs, each with the columns that it has.

    Raises UserError where the file is missing or damaged, or holds what is no error.
    """
    path = folder / METRICS_FILE
    try:
        text = read_bytes(path, LARGEST).decode("utf-8")
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["val_top1_error"]]
        found = [{key: float(row[key]) for key in COLUMNS[1:] if row.get(key)} for row in rows]
        for row in found:
            if not all(map(math.isfinite, row.values())):
                raise ValueError("it holds what is no finite number")
            if not 0 <= row["val_top1_error"] <= 1 or row["epoch"] < 0:
                raise ValueError("it holds an error that is not from 0 to 1, or an epoch below 0")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error!s:.120}); remove that folder and run again") from None
    return found


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


def _kind(row: Mapping[str, str]) -> str:
    """Of a row of this version, or of one that did not yet say so."""
    return row.get("kind") or (STEP if row["train_loss"] != "" else EPOCH)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
