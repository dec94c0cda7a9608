"""The table as an image: each row's difference from the base with its interval, and the paper's beside it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_lab.reports.ablation_table import HEADINGS, AblationTable, Row, at_most_all, count, margin_of, title
from alexnet_lab.reports.figures import BAND, FAINT, OURS, PAPER, TEXT, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches. Not wider, so that a page 800 pixels wide shows letters of 10 pixels.
ROW_HEIGHT, ABOVE, BELOW = 0.74, 0.75, 1.0
LABEL, PANEL, WORDS, EDGE = 1.7, 2.15, 1.75, 0.15  # row names, a panel, the words right of it, what keeps them apart
WIDTH = EDGE + LABEL + len(HEADINGS) * (PANEL + WORDS + EDGE)
NEAR = 0.14  # of a row's height, between a row's middle and a marker
WORD_WRAP, LABEL_WRAP = 24, 20  # letters


def write_forest_plot(folder: Path, table: AblationTable) -> None:
    """forest.svg and forest.png in `folder`: the same bytes for the same table."""
    write_figure(folder, "forest", lambda: draw(table))


def draw(table: AblationTable) -> Figure:
    """A panel for each metric, a line for each row but the base's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in table.rows if row.variant != table.experiment.base]
    height = ABOVE + ROW_HEIGHT * max(1, len(rows)) + BELOW
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    for number, metric in enumerate(HEADINGS):
        left = EDGE + LABEL + number * (PANEL + WORDS + EDGE)
        rectangle = (left / WIDTH, BELOW / height, PANEL / WIDTH, (height - ABOVE - BELOW) / height)
        axes = figure.add_axes(rectangle)
        _panel(axes, table, rows, metric, named=number == 0)
    figure.text(EDGE / WIDTH, 1 - 0.28 / height, title(table), color=TEXT, size=13, weight="bold", va="center")
    _legend(figure, table, height)
    return figure


def _panel(axes: Axes, table: AblationTable, rows: list[Row], metric: str, named: bool) -> None:
    margin = getattr(margin_of(table.experiment), metric)
    axes.axvspan(-margin, margin, color=BAND, lw=0, zorder=0)
    axes.axvline(0, color=FAINT, lw=1, zorder=1)
    for number in range(1, len(rows)):
        axes.axhline(number - 0.5, color=BAND, lw=1, zorder=0)
    reach = 2 * margin  # of the axis, both ways
    for y, row in enumerate(rows):
        difference = row.differences[metric]
        assert difference is not None
        value, paper = difference.estimate, difference.effect
        if value is not None:
            half_width = value.half_width or 0.0
            line: dict[str, Any] = {"color": OURS, "zorder": 3}
            axes.plot([value.mean - half_width, value.mean + half_width], [y - NEAR] * 2, lw=2, **line)
            axes.plot([value.mean], [y - NEAR], marker="o", ms=7, ls="", **line)
            reach = max(reach, abs(value.mean) + half_width)
        if paper is not None:
            axes.plot([paper], [y + NEAR], marker="D", ms=6, ls="", mec=PAPER, mfc="white", mew=1.6, zorder=3)
            reach = max(reach, abs(paper))
        words = "\n".join([f"n = {count(table, row)}", *textwrap.wrap(difference.words, WORD_WRAP)])
        axes.annotate(
            words, (1, y), (8, 0), ("axes fraction", "data"), "offset points", va="center", size=9, color=TEXT
        )
    axes.set_xlim(-1.08 * reach, 1.08 * reach)
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.5)
    axes.set_yticks(
        range(len(rows)), ["\n".join(textwrap.wrap(row.label, LABEL_WRAP)) for row in rows] if named else []
    )
    axes.tick_params(axis="y", length=0, labelcolor=TEXT)
    axes.tick_params(axis="x", colors=FAINT, labelsize=9)
    axes.set_xlabel("better  ←  points against base  →  worse", color=TEXT, size=9)
    axes.set_title(HEADINGS[metric], color=TEXT, size=11)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(FAINT)


def _legend(figure: Figure, table: AblationTable, height: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    margin = margin_of(table.experiment)
    smallest = [found.smallest for found in table.comparisons.values() if found.smallest is not None]
    parts = [
        Line2D([], [], color=OURS, marker="o", ms=7, lw=2, label="ours, mean and 95 % interval"),
        Line2D([], [], color=PAPER, marker="D", ms=6, ls="", mfc="white", mew=1.6, label="the paper's, on ImageNet"),
        Patch(color=BAND, lw=0, label=f"within ±{margin.top1:.1f} (top-5: ±{margin.top5:.1f}) counts as no difference"),
    ]
    figure.legend(
        handles=parts,
        loc="lower left",
        bbox_to_anchor=(EDGE / WIDTH, 0.04 / height),
        ncols=3,
        frameon=False,
        fontsize=9,
        labelcolor=TEXT,
    )
    if len(smallest) == len(HEADINGS):
        said = "Resolves {} points (top-5: {}) with 80 % power.".format(*map(at_most_all, smallest))
        figure.text(1 - EDGE / WIDTH, 1 - 0.28 / height, said, size=9, color=FAINT, ha="right", va="center")
