"""Learning curves of a comparison's rows: a faint line a run, a bold one their mean."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.ablation_table import METRICS
from alexnet_lab.reports.comparison import Row, SweepComparison
from alexnet_lab.reports.figures import COLOURS, FAINT, TEXT, write_figure
from alexnet_lab.runs.metrics import read_epochs
from alexnet_lab.runs.sweep_results import FinishedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"train_epoch_loss": "training loss", "val_top1_error": "validation, top-1 error in %"}
LEGEND_WRAP = 60  # letters
NEAR = 1e-6  # how well the last error of metrics.csv, of nine digits, fits that of result.json


@dataclass(frozen=True)
class Curves:
    """By row, best first: of each run the values of each panel by epoch, counted from 1."""

    rows: list[tuple[Row, list[dict[str, dict[int, float]]]]]
    notes: list[str]  # which rows and runs are not drawn, and why


def read_curves(found: SweepComparison) -> Curves:
    """Of the best rows, as many as there are colours."""
    ranked = sorted(found.rows, key=lambda row: row.errors["top1"].mean)
    drawn, notes = ranked[: len(COLOURS)], []
    if len(ranked) > len(drawn):
        notes.append(f"Learning curves: the {len(drawn)} best of {len(ranked)} rows are drawn.")
    rows = []
    for row in drawn:
        runs = []
        for run in row.runs.values():
            try:
                runs.append(_read(run))
            except UserError as error:
                notes.append(f"Learning curves: left out: {error}")
        if runs:
            rows.append((row, runs))
    return Curves(rows, notes)


def _read(run: FinishedRun) -> dict[str, dict[int, float]]:
    epochs = read_epochs(run.folder)
    error = run.result["metrics"][METRICS["top1"]]
    if not epochs or not math.isclose(epochs[-1]["val_top1_error"], error, abs_tol=NEAR):
        raise UserError(f"{run.folder}: its metrics.csv does not end with the error of its result.json")
    scale = {"train_epoch_loss": 1.0, "val_top1_error": 100.0}
    return {key: {int(row["epoch"]) + 1: scale[key] * row[key] for row in epochs if key in row} for key in PANELS}


def write_learning_curves(folder: Path, name: str, curves: Curves) -> None:
    """NAME.svg and NAME.png in `folder`: the same bytes for the same runs."""
    write_figure(folder, name, lambda: draw(curves))


def draw(curves: Curves) -> Figure:
    """A panel for the training loss and one for the validation error, a colour for each row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    labels = ["\n".join(textwrap.wrap(_legend(row, runs), LEGEND_WRAP)) for row, runs in curves.rows]
    figure = Figure(figsize=(8.0, 3.6 + 0.2 * sum(label.count("\n") + 1 for label in labels)), facecolor="white")
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    for axes, (key, title) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        for colour, (_, runs), label in zip(COLOURS, curves.rows, labels, strict=False):
            _lines(axes, [run[key] for run in runs], colour, label)
        axes.set_title(title, color=TEXT, size=11)
        axes.set_xlabel("epoch", color=TEXT, size=9)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(colors=FAINT, labelsize=9)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("bottom", "left"))
            spine.set_color(FAINT)
    if labels:
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower left", frameon=False, fontsize=9, labelcolor=TEXT)
    return figure


def _lines(axes: Axes, runs: Sequence[Mapping[int, float]], colour: str, label: str) -> None:
    if len(runs) > 1:
        for run in runs:
            axes.plot(list(run), list(run.values()), color=colour, lw=0.8, alpha=0.35)
    shared = sorted(set.intersection(*(set(run) for run in runs)))  # epochs that all of them validated
    means = [math.fsum(run[epoch] for run in runs) / len(runs) for epoch in shared]
    axes.plot(shared, means, color=colour, lw=1.8, marker="o" if len(shared) == 1 else None, label=label)


def _legend(row: Row, runs: Sequence[object]) -> str:
    return f"{row.label} (n = {len(runs)})"
