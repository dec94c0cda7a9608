"""An experiment's table: results beside the paper's figures, as Markdown, CSV, JSON and on the screen."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from alexnet_lab.claims.experiment import Experiment, Figure, Margin
from alexnet_lab.claims.statistics import Comparison, Difference, Estimate, Verdict, compare, estimate
from alexnet_lab.core.console import output_console
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json, write_json, write_text
from alexnet_lab.reports.markdown import markdown_table

METRICS = {"top1": "val_top1_error", "top5": "val_top5_error"}
HEADINGS = {"top1": "Top-1 error", "top5": "Top-5 error"}
COLUMNS = ("variant", "n", "error %", "against base", "paper", "p", "verdict")
LEFT = ("variant", "verdict")  # the others are numbers
SCHEMA_VERSION = 2  # of table.json


@dataclass(frozen=True)
class Row:
    """One variant: errors and their differences from the base in percent and points, by "top1" and "top5"."""

    variant: str
    label: str
    parameters: int
    seeds: list[int]
    errors: dict[str, Estimate]
    differences: dict[str, Difference | None]  # None for the base
    paper_difference: Figure | None
    original: Figure | None


@dataclass(frozen=True)
class AblationTable:
    """The rows that have results, and what they can tell; comparisons by "top1" and "top5"."""

    experiment: Experiment
    rows: list[Row]
    comparisons: dict[str, Comparison]
    seeds: int  # of a complete row

    @property
    def complete(self) -> bool:
        """Whether every variant has all of its seeds."""
        return self.runs == self.seeds * len(self.experiment.variants)

    @property
    def runs(self) -> int:
        """Results in the table."""
        return sum(len(row.seeds) for row in self.rows)

    def is_complete(self, row: Row) -> bool:
        """Whether a row has all of its seeds."""
        return len(row.seeds) == self.seeds


def make_table(
    experiment: Experiment, results: Mapping[str, Mapping[int, Mapping[str, Any]]], seeds: int
) -> AblationTable:
    """A row for each variant that has results.

    results: by variant, then by seed, the content of result.json; seeds: how many a complete row has. Raises
    UserError where a result lacks its errors, or the base has none.
    """
    errors = {name: _errors(name, results[name]) for name in experiment.variants if results.get(name)}
    if experiment.base not in errors:
        raise UserError(f"{experiment.base}: the base has no finished run, so there is nothing to compare with")
    comparisons = {
        metric: compare(
            {name: by_metric[metric] for name, by_metric in errors.items()},
            experiment.base,
            margin=getattr(margin_of(experiment), metric),
            effects={
                name: effect
                for name, variant in experiment.variants.items()
                if (effect := _of(variant.paper_difference, metric)) is not None
            },
            seeds=seeds,
            comparisons=len(experiment.variants) - 1,
        )
        for metric in METRICS
    }
    rows = [
        Row(
            variant=name,
            label=experiment.variants[name].label,
            parameters=int(next(iter(results[name].values()))["parameters"]),
            seeds=sorted(results[name]),
            errors={metric: estimate(list(values.values())) for metric, values in by_metric.items()},
            differences={metric: comparisons[metric].differences.get(name) for metric in METRICS},
            paper_difference=experiment.variants[name].paper_difference,
            original=experiment.variants[name].original,
        )
        for name, by_metric in errors.items()
    ]
    return AblationTable(experiment, rows, comparisons, seeds)


def margin_of(experiment: Experiment) -> Margin:
    """Of an experiment that has a table; raises UserError for one without."""
    if experiment.margin is None:
        raise UserError(f"{experiment.title}: has no table of errors, because its file gives no margin")
    return experiment.margin


def _errors(name: str, runs: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {metric: {} for metric in METRICS}
    for seed, result in runs.items():
        for metric, key in METRICS.items():
            value = result.get("metrics", {}).get(key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= 1.0:
                raise UserError(f"{name}, seed {seed}: result.json has {key}={value!r}; it must be from 0 to 1")
            found[metric][seed] = 100.0 * value
    return found


def _of(figure: Figure | None, metric: str) -> float | None:
    return getattr(figure, metric) if figure else None


def with_interval(value: Estimate | None, signed: bool = False) -> str:
    """31.2 ± 0.8; a difference carries its sign. Narrow intervals have more decimals than one: 31.20 ± 0.04."""
    return "" if value is None else in_words(value.mean, value.half_width, signed)


def in_words(mean: float, half_width: float | None, signed: bool = False) -> str:
    """As with_interval."""
    decimals = 1 if half_width is None or half_width >= 0.05 else min(4, -math.floor(math.log10(half_width)))
    rounded = round(mean, decimals) + 0.0  # no -0.0
    number = f"{rounded:{'+' if signed else ''}.{decimals}f}"
    return number if half_width is None else f"{number} ± {half_width:.{decimals}f}"


def p_in_words(p: float | None) -> str:
    """A p-value as it is printed: 0.042, < 0.001."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def at_most_all(points: float) -> str:
    """Points of error as they are printed; there are no more than 100."""
    return f"{points:.1f}" if points <= 100 else "over 100"


def count(table: AblationTable, row: Row) -> str:
    """Seeds of a row: 3, or 2 of 3."""
    return f"{len(row.seeds)}" if table.is_complete(row) else f"{len(row.seeds)} of {table.seeds}"


def cells(table: AblationTable, row: Row, metric: str) -> list[str]:
    """A row of one metric's table, a text for each of COLUMNS."""
    difference, paper = row.differences[metric], _of(row.paper_difference, metric)
    start = [row.label, count(table, row), with_interval(row.errors[metric])]
    if difference is None:
        return [*start, "base", "", "", ""]
    return [
        *start,
        with_interval(difference.estimate, signed=True),
        "" if paper is None else f"{paper:+.1f}",
        p_in_words(difference.p_corrected),
        difference.words,
    ]


def notes(table: AblationTable) -> list[str]:
    """What the table's words mean, and what the table can show at all."""
    margin, comparisons = margin_of(table.experiment), len(table.experiment.variants) - 1
    level = f"5 %/{comparisons}"
    lines = [
        "Errors: last epoch, one centre view, mean and 95 % interval over n seeds (Student's t).",
        "Against base: points, paired by seed, with the 95 % interval of that row alone. "
        "Paper: the same as the paper states it, from single runs on ImageNet.",
        f"p: of no difference, corrected for {comparisons} comparisons (Holm). Worse, better: p is 0.05 at most.",
        f"No difference larger than {margin.top1:.1f} (top-5: {margin.top5:.1f}) points: two one-sided tests, "
        "corrected likewise.",
        "Not resolved: neither. The seeds said are those that would resolve the paper's difference with 80 % power, "
        f"at the row's own spread and level {level}.",
    ]
    smallest = [
        f"{HEADINGS[metric].split()[0].lower()} {at_most_all(found.smallest)}"
        for metric, found in table.comparisons.items()
        if found.smallest is not None
    ]
    if smallest:
        lines.append(
            f"Smallest difference that this table resolves with 80 % power: {', '.join(smallest)} points "
            f"(n = {table.seeds}, spread pooled over the rows, level {level})."
        )
    if not table.complete:
        lines.append("So far: rows are tested when all of their runs and the base's are complete.")
    return lines


def title(table: AblationTable) -> str:
    """The experiment's title; of an unfinished table, how much of it is there."""
    runs = table.seeds * len(table.experiment.variants)
    return table.experiment.title + ("" if table.complete else f", so far: {table.runs} of {runs} runs")


def markdown(table: AblationTable, about: Sequence[str]) -> str:
    """The table as GitHub shows it, a part for each metric, with the original program's errors below.

    about: lines on the runs that it is made of.
    """
    lines = [f"# {title(table)}", ""]
    for metric, heading in HEADINGS.items():
        rows = [cells(table, row, metric) for row in table.rows]
        lines += [f"**{heading}**", "", *markdown_table(COLUMNS, rows, LEFT), ""]
    lines += [*(f"{line}  " for line in notes(table)), "", *(f"{line}  " for line in about), ""]
    lines += ["The original program's own errors, ten views:", ""]
    lines += [
        f"- {row.label}: top-1 {row.original.top1} %, top-5 {row.original.top5} % ({row.original.source})"
        for row in table.rows
        if row.original
    ]
    return "\n".join(lines) + "\n"


def records(table: AblationTable) -> list[dict[str, Any]]:
    """The rows as flat records, for CSV and JSON; what is unknown is None."""
    made = []
    for row in table.rows:
        record: dict[str, Any] = {
            "variant": row.variant,
            "label": row.label,
            "parameters": row.parameters,
            "n": len(row.seeds),
            "seeds": " ".join(map(str, row.seeds)),
        }
        for metric in METRICS:
            record |= {
                f"{metric}_error": row.errors[metric].mean,
                f"{metric}_half_width": row.errors[metric].half_width,
                **_record_of(metric, row.differences[metric]),
                f"{metric}_paper_difference": _of(row.paper_difference, metric),
                f"{metric}_original_error": _of(row.original, metric),
            }
        made.append(record)
    return made


def _record_of(metric: str, difference: Difference | None) -> dict[str, Any]:
    value = difference.estimate if difference else None
    record = {
        "difference": value.mean if value else None,
        "difference_half_width": value.half_width if value else None,
        "difference_sd": value.sd if value else None,
        "p": difference.p if difference else None,
        "p_corrected": difference.p_corrected if difference else None,
        "p_equivalence": difference.p_equivalence if difference else None,
        "margin": difference.margin if difference else None,
        "verdict": str(difference.verdict) if difference else None,
        "verdict_in_words": difference.words if difference else None,
        "seeds_needed": difference.seeds_needed if difference else None,
        "smallest_difference": difference.smallest if difference else None,
    }
    return {f"{metric}_{key}": found for key, found in record.items()}


def write_table(folder: Path, table: AblationTable, about: Sequence[str]) -> None:
    """table.md, table.csv and table.json in `folder`."""
    flat = records(table)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    write_text(folder / "table.md", markdown(table, about))
    write_text(folder / "table.csv", text.getvalue())
    experiment = table.experiment
    document = {
        "schema_version": SCHEMA_VERSION,
        "title": experiment.title,
        "claim": experiment.claim,
        "section": experiment.section,
        "about": " ".join(about),
        "notes": notes(table),
        "smallest_difference": {metric: found.smallest for metric, found in table.comparisons.items()},
        "rows": flat,
    }
    write_json(folder / "table.json", document)


def read_table(path: Path) -> dict[str, Any] | None:
    """What a table.json holds that anybody may have put there; None where there is none yet. Raises UserError."""
    try:
        table = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); make the table again") from None
    if not isinstance(table, dict) or table.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: was made by another version of this program; make the table again")
    if not _is_whole(table):
        raise UserError(f"{path}: is damaged; make the table again")
    return table


def _is_whole(table: Mapping[str, Any]) -> bool:
    """Whether all that is read from it is there and of its kind."""
    rows, texts = table.get("rows"), [table.get("notes"), [table.get("about")]]
    if not isinstance(rows, list) or not all(
        isinstance(lines, list) and all(isinstance(line, str) for line in lines) for lines in texts
    ):
        return False
    numbers = ["error", "half_width", "difference", "difference_half_width", "p_corrected", "margin"]
    numbers = [f"{metric}_{key}" for metric in METRICS for key in [*numbers, "paper_difference"]]
    return all(
        isinstance(row, dict)
        and isinstance(row.get("label"), str)
        and isinstance(row.get("variant"), str)
        and type(row.get("n")) is int
        and all(type(row.get(key)) in (int, float, type(None)) and abs(row.get(key) or 0) < 1e15 for key in numbers)
        and all(isinstance(row.get(f"{metric}_error"), int | float) for metric in METRICS)
        and all(isinstance(row.get(f"{metric}_verdict_in_words"), str | None) for metric in METRICS)
        for row in rows
    )


def screen_table(table: AblationTable, metric: str) -> Table:
    """One metric's table for a terminal."""
    made = Table(title=HEADINGS[metric], title_style="bold", title_justify="left")
    for column in COLUMNS:
        made.add_column(column, justify="left" if column in LEFT else "right")
    for row in table.rows:
        difference = row.differences[metric]
        *others, verdict = cells(table, row, metric)
        style = VERDICT_STYLES[difference.verdict] if difference else ""
        made.add_row(*map(Text, others), Text(verdict, style))
    return made


VERDICT_STYLES = {
    Verdict.WORSE: "red",
    Verdict.BETTER: "green",
    Verdict.NO_DIFFERENCE: "cyan",
    Verdict.NOT_RESOLVED: "yellow",
    Verdict.SO_FAR: "dim",
}


def print_table(table: AblationTable, about: Sequence[str]) -> None:
    """The table on standard output, as wide as it needs where that is not a terminal."""
    console = output_console()
    console.print(Text(title(table), "bold"))
    for line in about:
        console.print(Text(line))
    for metric in METRICS:
        console.print(screen_table(table, metric))
    for line in notes(table):
        console.print(Text(line, "dim"))
