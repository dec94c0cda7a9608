"""The table of a comparison of sweeps, as Markdown, CSV, JSON and on the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alexnet_lab.claims.statistics import PairDifference
from alexnet_lab.core.console import output_console
from alexnet_lab.core.files import write_json, write_text
from alexnet_lab.reports.ablation_table import HEADINGS, METRICS, VERDICT_STYLES, p_in_words, with_interval
from alexnet_lab.reports.comparison import Pair, Row, SweepComparison, in_words
from alexnet_lab.reports.markdown import markdown_table

SCHEMA_VERSION = 1  # of comparison.json


def columns(found: SweepComparison) -> list[str]:
    """Of the table of errors."""
    return [*_first(found), "n", *(f"{HEADINGS[metric].lower()} %" for metric in METRICS), ""]


def cells(found: SweepComparison, row: Row) -> list[str]:
    """A text for each of the columns."""
    return [
        *([row.sweep] if len(found.sweeps) > 1 else []),
        *(row.settings[key] for key in found.shown),
        str(len(row.runs)),
        *(with_interval(row.errors[metric]) for metric in METRICS),
        "best" if row is found.best_row and len(found.rows) > 1 else "",
    ]


def pair_columns(found: SweepComparison) -> list[str]:
    """Of the table of differences."""
    return [*map(in_words, found.shown), "metric", "n", "difference", "p", found.sweeps[0]]


def pair_cells(found: SweepComparison, pair: Pair, metric: str) -> list[str]:
    """A text for each of the columns of the table of differences."""
    difference = pair.differences[metric]
    return [
        *(pair.first.settings[key] for key in found.shown),
        metric.replace("top", "top-"),
        _seeds(pair, difference),
        with_interval(difference.estimate, signed=True),
        p_in_words(difference.p_corrected),
        str(difference.verdict),
    ]


def notes(found: SweepComparison) -> list[str]:
    """What the words mean, what is best, in what two sweeps differ, and what is left out."""
    best, run = found.best_row, found.best_run
    error = 100 * run.result["metrics"][METRICS["top1"]]
    lines = [
        "Errors: last epoch, one centre view, mean and 95 % interval over n seeds (Student's t), of each row alone."
    ]
    if len(found.rows) > 1:
        chosen = f"the best of {len(found.rows)}; chosen after it was seen, so that new seeds tend to a higher error."
        lines.append(f"Best settings: {best.label}: top-1 error {with_interval(best.errors['top1'])} %, {chosen}")
    lines.append(f"Best run: {in_words(run.folder)}: top-1 error {error:.2f} %.")
    for shown, others in found.together.items():
        if others:
            lines.append(f"With {in_words(shown)} also changes: {', '.join(map(in_words, others))}.")
    if len(found.sweeps) > 1:
        lines += _notes_on_two(found)
    return [*lines, *found.notes]


def _notes_on_two(found: SweepComparison) -> list[str]:
    first, second = found.sweeps
    rows = [next(row for row in found.rows if row.sweep == name) for name in found.sweeps]
    lines = [
        f"{first} and {second} differ in {in_words(key)}: {rows[0].settings[key]}, {rows[1].settings[key]}."
        for key in found.between
    ]
    if not found.between:
        lines.append(f"{first} and {second} differ in no setting throughout.")
    if not found.pairs:
        return [
            *lines,
            f"No row of {first} has the swept settings of a row of {second}: there is no difference to take.",
        ]
    return [
        *lines,
        f"Differences: {first} minus {second}, points, over the seeds that both have, or, where these are fewer than "
        "two, of the two means (Welch's t); n says which. p: of no difference, corrected for "
        f"{len(found.pairs)} comparisons (Holm). Worse, better: p is 0.05 at most.",
    ]


def markdown(found: SweepComparison, about: Sequence[str]) -> str:
    """Both tables as GitHub shows them. about: lines on the runs that they are made of."""
    head = columns(found)
    lines = [
        f"# {title(found)}",
        "",
        *markdown_table(head, [cells(found, row) for row in found.rows], _first(found)),
        "",
    ]
    if found.pairs:
        left = [*map(in_words, found.shown), "metric", found.sweeps[0]]
        pairs = [pair_cells(found, pair, metric) for metric in METRICS for pair in found.pairs]
        lines += [f"**{_difference_title(found)}**", "", *markdown_table(pair_columns(found), pairs, left), ""]
    return "\n".join([*lines, *(f"{line}  " for line in [*notes(found), "", *about])]) + "\n"


def title(found: SweepComparison) -> str:
    return " and ".join(found.sweeps)


def records(found: SweepComparison) -> list[dict[str, Any]]:
    """The rows as flat records, for CSV and JSON; what is unknown is None. Differences stand in the first's rows."""
    pairs = {id(pair.first): pair for pair in found.pairs}
    made = []
    for row in found.rows:
        pair = pairs.get(id(row))
        record: dict[str, Any] = {
            "sweep": row.sweep,
            **{in_words(key): value for key, value in row.settings.items()},
            "n": len(row.runs),
            "seeds": " ".join(map(str, row.runs)),
            "best": row is found.best_row,
        }
        for metric in METRICS:
            value = row.errors[metric]
            record |= {
                f"{metric}_error": value.mean,
                f"{metric}_sd": value.sd,
                f"{metric}_half_width": value.half_width,
            }
            if len(found.sweeps) > 1:
                record |= _record_of(metric, pair.differences[metric] if pair else None)
        made.append(record)
    return made


def _record_of(metric: str, difference: PairDifference | None) -> dict[str, Any]:
    record = {
        "difference": difference.estimate.mean if difference else None,
        "difference_half_width": difference.estimate.half_width if difference else None,
        "difference_n": difference.estimate.n if difference else None,
        "difference_paired": difference.paired if difference else None,
        "p": difference.p if difference else None,
        "p_corrected": difference.p_corrected if difference else None,
        "verdict": str(difference.verdict) if difference else None,
    }
    return {f"{metric}_{key}": value for key, value in record.items()}


def write_comparison(folder: Path, name: str, found: SweepComparison, about: Sequence[str]) -> None:
    """NAME.md, NAME.csv and NAME.json in `folder`."""
    flat = records(found)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    write_text(folder / f"{name}.md", markdown(found, about))
    write_text(folder / f"{name}.csv", text.getvalue())
    runs = [
        {
            "folder": str(run.folder),
            "row": number,
            "seed": seed,
            **{f"{metric}_error": row.by_seed(metric)[seed] for metric in METRICS},
        }
        for number, row in enumerate(found.rows)
        for seed, run in row.runs.items()
    ]
    document = {
        "schema_version": SCHEMA_VERSION,
        "sweeps": found.sweeps,
        "about": list(about),
        "notes": notes(found),
        "differ_throughout": found.between,
        "best_run": str(found.best_run.folder),
        "rows": flat,
        "runs": runs,
    }
    write_json(folder / f"{name}.json", document)


def print_comparison(found: SweepComparison, about: Sequence[str]) -> None:
    """Both tables on standard output, as wide as they need where that is not a terminal."""
    console = output_console()
    console.print(Text(title(found), "bold"))
    for line in about:
        console.print(Text(line))
    console.print(_screen_table("", columns(found), [cells(found, row) for row in found.rows], _first(found)))
    if found.pairs:
        pairs = [pair_cells(found, pair, metric) for metric in METRICS for pair in found.pairs]
        left = [*map(in_words, found.shown), "metric", found.sweeps[0]]
        console.print(_screen_table(_difference_title(found), pair_columns(found), pairs, left))
    for line in notes(found):
        console.print(Text(line, "dim"))


def _screen_table(heading: str, head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str]) -> Table:
    table = Table(title=heading or None, title_style="bold", title_justify="left")
    for column in head:
        table.add_column(Text(column), justify="left" if column in left else "right")
    for row in rows:
        table.add_row(*(Text(text, STYLES.get(text, "")) for text in row))
    return table


STYLES = {str(verdict): style for verdict, style in VERDICT_STYLES.items()} | {"best": "green"}


def _first(found: SweepComparison) -> list[str]:
    """The columns that say which row it is."""
    return [*(["sweep"] if len(found.sweeps) > 1 else []), *map(in_words, found.shown)]


def _difference_title(found: SweepComparison) -> str:
    return " minus ".join(found.sweeps)


def _seeds(pair: Pair, difference: PairDifference) -> str:
    if difference.paired:
        return f"{difference.estimate.n} pairs" if difference.estimate.n > 1 else "1 pair"
    return f"{len(pair.first.runs)} and {len(pair.second.runs)}"
