"""What an evaluation leaves: files for programs and people, and a table on the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alexnet_lab.core.files import write_bytes, write_json, write_text
from alexnet_lab.evaluation.counts import Counts, standard_error
from alexnet_lab.tracking.images import confusion_matrix

SCHEMA_VERSION = 1


def facts(counts: Counts) -> dict[str, Any]:
    """Errors as fractions in [0, 1] with their standard errors."""
    return {
        "images": counts.images,
        "top1_error": counts.top1_error,
        "top1_standard_error": standard_error(counts.top1_error, counts.images),
        "top5_error": counts.top5_error,
        "top5_standard_error": standard_error(counts.top5_error, counts.images),
    }


def write(
    folder: Path, counts: Sequence[Counts], runs: Sequence[Path], names: list[str], about: dict[str, Any]
) -> None:
    """per_class.csv, confusion.csv, confusion.npy and confusion.png of the last counts, and last evaluation.json.

    Each file appears whole or not at all; evaluation.json is there when the others are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").unlink(missing_ok=True)
    answer = counts[-1]
    confusion = answer.confusion.numpy()
    images, right = confusion.sum(1), confusion.diagonal()
    rows = [
        [name, n, f"{1 - r / n:.6f}" if n else "", f"{1 - t / n:.6f}" if n else ""]
        for name, n, r, t in zip(names, images.tolist(), right.tolist(), answer.top5.tolist(), strict=True)
    ]
    write_text(folder / "per_class.csv", _csv([["class", "images", "top1_error", "top5_error"], *rows]))
    write_text(
        folder / "confusion.csv",
        _csv([["true class", *names], *([name, *row] for name, row in zip(names, confusion.tolist(), strict=True))]),
    )
    array = io.BytesIO()
    np.save(array, confusion)
    write_bytes(folder / "confusion.npy", array.getvalue())
    caption = f"{about['views']}, {len(runs)} network{'s' * (len(runs) > 1)}"
    write_bytes(folder / "confusion.png", confusion_matrix(confusion, names, caption).png)
    members = [{"run": str(run), **facts(each)} for run, each in zip(runs, counts, strict=False)]
    write_json(
        folder / "evaluation.json", {"schema_version": SCHEMA_VERSION, **about, **facts(answer), "runs": members}
    )


def show(counts: Sequence[Counts], runs: Sequence[Path], views: str, checkpoint: str) -> None:
    """A table of errors in per cent, each with its standard error."""
    table = Table(title=f"{counts[-1].images} validation images, {views}, {checkpoint} checkpoint")
    table.add_column("run", overflow="fold")
    table.add_column("top-1 error, %", justify="right", no_wrap=True)
    table.add_column("top-5 error, %", justify="right", no_wrap=True)
    labels = [*map(str, runs), *([f"all {len(runs)}, softmax averaged"] if len(runs) > 1 else [])]
    for label, each in zip(labels, counts, strict=False):
        table.add_row(Text(label), _percent(each.top1_error, each.images), _percent(each.top5_error, each.images))
    Console().print(table)


def _percent(error: float, images: int) -> str:
    return f"{100 * error:.2f} ± {100 * standard_error(error, images):.2f}"


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
