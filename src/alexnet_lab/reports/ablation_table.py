"""An experiment's table: results beside the paper's figures, as Markdown, CSV, JSON and on the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from alexnet_lab.errors import UserError
from alexnet_lab.experiments.experiment import Experiment, Figure
from alexnet_lab.experiments.statistics import Estimate, estimate, paired_difference
from alexnet_lab.files import write_json, write_text

METRICS = {"top1": "val_top1_error", "top5": "val_top5_error"}
HEADINGS = {"top1": "top-1 error %", "top5": "top-5 error %"}


@dataclass(frozen=True)
class Row:
    """One variant: errors and their differences from the base in percent and points, by "top1" and "top5"."""

    variant: str
    label: str
    parameters: int
    seeds: list[int]
    errors: dict[str, Estimate]
    differences: dict[str, Estimate | None]
    paper_difference: Figure | None
    original: Figure | None


def make_rows(experiment: Experiment, results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[Row]:
    """A row for each variant that has results.

    results: by variant, then by seed, the content of result.json. Raises UserError where a result lacks
    its errors, or the base has none.
    """
    errors = {name: _errors(name, runs) for name, runs in results.items() if runs}
    if experiment.base not in errors:
        raise UserError(f"{experiment.base}: the base has no finished run, so there is nothing to compare with")
    rows = []
    for name, variant in experiment.variants.items():
        if name not in errors:
            continue
        runs = results[name]
        rows.append(
            Row(
                variant=name,
                label=variant.label,
                parameters=int(next(iter(runs.values()))["parameters"]),
                seeds=sorted(runs),
                errors={metric: estimate(list(errors[name][metric].values())) for metric in METRICS},
                differences={
                    metric: None
                    if name == experiment.base
                    else paired_difference(errors[name][metric], errors[experiment.base][metric])
                    for metric in METRICS
                },
                paper_difference=variant.paper_difference,
                original=variant.original,
            )
        )
    return rows


def _errors(name: str, runs: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {metric: {} for metric in METRICS}
    for seed, result in runs.items():
        for metric, key in METRICS.items():
            value = result.get("metrics", {}).get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
                raise UserError(f"{name}, seed {seed}: result.json has {key}={value!r}; it must be from 0 to 1")
            found[metric][seed] = 100.0 * value
    return found


def with_interval(value: Estimate | None, signed: bool = False) -> str:
    """31.2 ± 0.8; a difference carries its sign."""
    if value is None:
        return ""
    number = f"{value.mean:+.1f}" if signed else f"{value.mean:.1f}"
    return number if value.half_width is None else f"{number} ± {value.half_width:.1f}"


def verdict(value: Estimate | None) -> str:
    """What the interval of a difference says; "" for the base itself."""
    if value is None:
        return ""
    if value.half_width is None:
        return "one seed"
    return ("worse" if value.mean > 0 else "better") if value.resolved else "not resolved"


def _cells(row: Row) -> list[str]:
    cells = [row.label, str(len(row.seeds))]
    for metric in METRICS:
        difference, paper = row.differences[metric], row.paper_difference
        paper_value = getattr(paper, metric) if paper else None
        said = verdict(difference)
        cells += [
            with_interval(row.errors[metric]),
            "base" if difference is None else f"{with_interval(difference, signed=True)} ({said})",
            "" if paper_value is None else f"{paper_value:+.1f}",
        ]
    return cells


def _columns() -> list[str]:
    columns = ["variant", "n"]
    for metric in METRICS:
        columns += [HEADINGS[metric], "against base", "paper"]
    return columns


def _notes() -> list[str]:
    return [
        "Errors: last epoch, one centre view, mean and 95 % interval over n seeds (Student's t).",
        "Against base: points, paired by seed; not resolved where the 95 % interval holds zero.",
        "Paper: the same difference as the paper states it, from single runs on ImageNet.",
    ]


def markdown(experiment: Experiment, rows: list[Row], heading: str) -> str:
    """The table as GitHub shows it, with the original program's errors below."""
    columns = _columns()
    lines = [f"# {experiment.title}", "", heading, ""]
    lines.append("| " + " | ".join(columns) + " |")
    lines.append("|" + "|".join("---" if column == "variant" else "--:" for column in columns) + "|")
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    lines += ["", *(note + "  " for note in _notes()), "", "The original program's own errors, ten views:", ""]
    lines += [
        f"- {row.label}: top-1 {row.original.top1} %, top-5 {row.original.top5} % ({row.original.source})"
        for row in rows
        if row.original
    ]
    return "\n".join(lines) + "\n"


def records(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as flat records, for CSV and JSON."""
    made = []
    for row in rows:
        record: dict[str, Any] = {
            "variant": row.variant,
            "label": row.label,
            "parameters": row.parameters,
            "n": len(row.seeds),
            "seeds": " ".join(map(str, row.seeds)),
        }
        for metric in METRICS:
            error, difference = row.errors[metric], row.differences[metric]
            record |= {f"{metric}_error": error.mean, f"{metric}_half_width": error.half_width}
            record |= {
                f"{metric}_difference": difference.mean if difference else None,
                f"{metric}_difference_half_width": difference.half_width if difference else None,
                f"{metric}_resolved": difference.resolved if difference else None,
                f"{metric}_paper_difference": getattr(row.paper_difference, metric) if row.paper_difference else None,
                f"{metric}_original_error": getattr(row.original, metric) if row.original else None,
            }
        made.append(record)
    return made


def write_table(folder: Path, experiment: Experiment, rows: list[Row], heading: str) -> None:
    """table.md, table.csv and table.json in `folder`."""
    flat = records(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    write_text(folder / "table.md", markdown(experiment, rows, heading))
    write_text(folder / "table.csv", text.getvalue())
    document = {"title": experiment.title, "claim": experiment.claim, "section": experiment.section, "about": heading}
    write_json(folder / "table.json", {"schema_version": 1, **document, "rows": flat})


def print_table(experiment: Experiment, rows: list[Row], heading: str) -> None:
    """The table on standard output, as wide as it needs where that is not a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title=experiment.title, title_style="bold", caption="\n".join(_notes()), caption_justify="left")
    for number, column in enumerate(_columns()):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*_cells(row))
    console.print(heading, highlight=False, markup=False)
    console.print(table)
