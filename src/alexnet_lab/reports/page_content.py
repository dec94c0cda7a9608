"""What the page says: the claims with their verdicts, tables, curves and runs, from a sweep's run folders and reports.

Verdicts come from claims.json and tables from table.json, which `src/reproduce.py` writes; a table that is not written
yet, of a sweep under way, is made of the results so far.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from alexnet_lab.claims.experiment import (
    Experiment,
    experiment_names,
    load_experiment,
    scale_names,
)
from alexnet_lab.claims.statistics import Judgement, estimate
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import as_called
from alexnet_lab.core.progress import duration
from alexnet_lab.reports import ablation_table, claims_table, page_charts
from alexnet_lab.reports.ablation_table import METRICS
from alexnet_lab.reports.run_view import RunReader, RunView
from alexnet_lab.runs.paths import job_name, readable, reports_folder
from alexnet_lab.sweeps.status import STATES

UNDER_WAY, NOT_RUN, TABLE = "under way", "not run", "table"  # beside the judgements, where a claim may stand
SO_FAR = str(Judgement.INCOMPLETE)
ORDER = ("agrees", "contradicts", "cannot be told", TABLE, UNDER_WAY, SO_FAR, NOT_RUN)
MOST_SERIES = 24  # curves of runs that belong to no claim
LARGEST_FIGURE = 2**20  # bytes of an image that the page holds itself
OTHERS = "runs"  # the section of runs that belong to no claim
FIGURES = {
    "kernels": (
        "Kernels of the first convolution, by tower",
        "The first layer's kernels as small colour tiles, the two towers one above the other",
    ),
    "top5": (
        "Five most probable labels",
        "Validation images, each with bars for the five most probable labels, the true one marked",
    ),
    "neighbours": (
        "Nearest training images",
        "Rows of images: a validation image, then the six training images nearest to it by the last hidden layer",
    ),
    "confusion": ("Confusion matrix", "A matrix of true classes against given answers, darker where there are more"),
    "misclassified": (
        "Surest mistakes",
        "Misclassified validation images with the given answer and the true class, the surest first",
    ),
}


@dataclass(frozen=True)
class Line:
    """A row of a table with the plot of its interval: texts, and what the plot is drawn of."""

    label: str
    paper: str = ""
    here: str = ""
    error: str = ""
    n: str = ""
    p: str = ""
    verdict: str = ""
    decides: bool = True
    plot: Mapping[str, Any] | None = None

    @property
    def plot_in_words(self) -> str:
        return f"here {self.here or 'nothing yet'}, the paper {self.paper or 'states no figure'}"


@dataclass(frozen=True)
class Figure:
    title: str
    alternative: str
    path: Path


@dataclass(frozen=True)
class Section:
    """A claim, or a group of runs that belong to none. state: a judgement, or one of the words above.

    planned: how many runs it is to have. tables: of errors, by metric in words. series: labels of variants with their
    runs' curves. levels: as in page_charts.learning_curves.
    """

    name: str
    title: str
    state: str
    statement: str = ""
    paper_section: str = ""
    reason: str = ""
    rule: str = ""
    registered: str = ""
    command: str = ""
    lines: Sequence[Line] = ()
    tables: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    table_notes: Sequence[str] = ()
    about: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    runs: Sequence[RunView] = ()
    planned: int = 0
    series: Sequence[tuple[str, Sequence[page_charts.Curve]]] = ()
    levels: Mapping[str, float] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """What a link to it ends with."""
        return readable(self.name if self.name == OTHERS else f"claim-{self.name}")

    @property
    def order(self) -> int:
        """Of its state, where sections are sorted by it."""
        return ORDER.index(self.state) if self.state in ORDER else len(ORDER)

    @property
    def runs_in_words(self) -> str:
        """8 of 15 runs, of a section that is not complete."""
        done = sum(run.state == "complete" for run in self.runs)
        return f"{done} of {self.planned} runs" if self.state in (UNDER_WAY, SO_FAR) else ""

    @property
    def is_run(self) -> bool:
        return self.state != NOT_RUN

    @property
    def main(self) -> Line | None:
        """What stands for it at a glance: its first row that decides, or the first of its table."""
        deciding = [line for line in self.lines if line.decides]
        known = [line for line in deciding if line.here]
        tabled = [line for lines in self.tables.values() for line in lines if line.plot]
        return next(iter([*known, *tabled, *deciding]), None)


@dataclass(frozen=True)
class Content:
    """All of the page. notes: what could not be read."""

    sweep: str
    folder: Path
    scale: str
    sections: Sequence[Section]
    others: Section | None
    runs: Sequence[RunView]
    notes: Sequence[str]

    @property
    def counts(self) -> dict[str, int]:
        """How many sections are in each state, those of tables apart."""
        counted = Counter(section.state for section in self.sections)
        return {state: counted[state] for state in ORDER if counted[state] and state != TABLE}

    @property
    def run_states(self) -> dict[str, int]:
        counted = Counter(run.state for run in self.runs)
        return {state: counted[state] for state in STATES if counted[state]}

    @property
    def is_under_way(self) -> bool:
        return any(run.state == "running" for run in self.runs)

    @property
    def time_left(self) -> str:
        """Until the last run ends, as long as as many run at a time as do now; empty where nobody can know."""
        running = [run for run in self.runs if run.state == "running"]
        took = [run.seconds for run in self.runs if run.seconds is not None]
        usual = median(took) if took else None
        left = [run.status.progress.get("seconds_left", usual) for run in running]  # one that starts says nothing yet
        left += [usual for run in self.runs if run.state == "not started"]
        if not running or None in left:
            return ""
        work = math.fsum(one for one in left if one is not None)
        return duration(work / len(running))


def collect_page(sweep: Path, reader: RunReader, *, strict: bool, reports: Path | None = None) -> Content:
    """Everything there is on a sweep. strict: whether damaged reports are a UserError, or a note on the page.

    reports: where its reports are; None: where src/reproduce.py writes them.
    """
    notes: list[str] = []

    def careful(read: Any, path: Path, otherwise: Any) -> Any:
        try:
            return read(path)
        except UserError as error:
            if strict:
                raise
            notes.append(str(error))
            return otherwise

    reports = reports or reports_folder(sweep.name)
    runs = {folder.name: reader.read(folder) for folder in run_folders(sweep)}
    records = {
        record["claim"]: record for record in careful(claims_table.read_claims, reports / "claims.json", list[Any]())
    }
    scale = next((record["scale"] for record in records.values()), _scale_of(sweep.name))
    used: set[str] = set()
    sections = []
    experiments = _experiments()
    for name in [*experiments, *(name for name in records if name not in experiments)]:
        experiment, record = experiments.get(name), records.get(name)
        if record is None and experiment is not None and experiment.scales and scale not in experiment.scales:
            continue
        # The name of a claim that is not in experiments/ is what its record says, and may lead nowhere else.
        folder = reports / readable(name)
        kept = careful(ablation_table.read_table, folder / "table.json", None)
        own = _own_runs(experiment, record, runs)
        sections.append(_section(name, experiment, record, own, kept, folder, notes))
        used |= {run.name for by_seed in own.values() for run in by_seed.values()}
    if not any(section.is_run for section in sections):
        sections = []  # a sweep of something else
    sections.sort(key=lambda section: (not section.is_run, section.paper_section, section.name))
    left = [run for run in runs.values() if run.name not in used]
    title = "Other runs of this sweep" if sections else f"Runs of {sweep.name}"
    others = _section_of_others(title, left) if left else None
    return Content(sweep.name, sweep, scale, sections, others, list(runs.values()), notes)


def _own_runs(
    experiment: Experiment | None, record: Mapping[str, Any] | None, runs: Mapping[str, RunView]
) -> dict[str, dict[int, RunView]]:
    """The runs of a claim by variant and seed; none where there is nothing to say that it was run."""
    judged = record is not None and record["verdict"] != Judgement.INCOMPLETE
    most = record["seeds"] if judged and record is not None else math.inf  # of exactly these seeds
    seeds = sorted({run.seed for run in runs.values() if run.seed is not None and run.seed < most})
    own: dict[str, dict[int, RunView]] = {}
    for variant in _variants(experiment, record):
        names = {seed: job_name(variant, [f"seed={seed}"]) for seed in seeds}
        own[variant] = {seed: runs[job] for seed, job in names.items() if job in runs}
    if judged:
        return own
    trained = list(own if experiment is None else experiment.trained)
    # Runs of a single variant that other claims have too may not be meant for this one.
    sharers = sum(trained[0] in other.variants for other in _experiments().values()) if len(trained) == 1 else 0
    return own if trained and sharers < 2 and all(own[variant] for variant in trained) else {}


def _section_of_others(title: str, runs: Sequence[RunView]) -> Section:
    """Runs that belong to no claim."""
    rows: dict[str, dict[int, RunView]] = {}
    for run in runs:
        rows.setdefault(run.row, {})[run.seed or 0] = run
    series, notes = _series_by_name(runs)
    return Section(
        OTHERS,
        title,
        SO_FAR,
        tables=_plain_tables({row: row for row in rows}, rows),
        table_notes=notes,
        runs=runs,
        planned=len(runs),
        series=series,
    )


@lru_cache
def _experiments() -> dict[str, Experiment]:
    """Those of experiments/, read once: it takes half a second."""
    return {name: load_experiment(name) for name in experiment_names()}


def run_folders(sweep: Path) -> list[Path]:
    """The folders in a sweep's, in the order of their names; none where it is not there."""
    try:
        with os.scandir(sweep) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and (e.is_dir() or e.is_symlink()))
    except OSError:
        return []
    return [sweep / name for name in names]


def _scale_of(sweep: str) -> str:
    return next((name for name in scale_names() if sweep == name or sweep.startswith(f"{name}-")), "mini")


def _variants(experiment: Experiment | None, record: Mapping[str, Any] | None) -> dict[str, str]:
    """Labels by name. Of a claim whose file is not here, its record's rows tell."""
    if experiment is not None:
        return {name: variant.label for name, variant in experiment.variants.items()}
    rows = record["rows"] if record is not None else []
    names = [name for row in rows for name in (row["against"], row["of"]) if name]
    return {name: name for name in dict.fromkeys(names)}


def _section(
    name: str,
    experiment: Experiment | None,
    record: Mapping[str, Any] | None,
    own: Mapping[str, Mapping[int, RunView]],
    kept: Mapping[str, Any] | None,
    reports: Path,
    notes: list[str],
) -> Section:
    runs = [run for by_seed in own.values() for run in by_seed.values()]
    labels = _variants(experiment, record)
    tables, table_notes, about = _tables(name, experiment, own, kept, notes)
    judged = record is not None and record["verdict"] != Judgement.INCOMPLETE
    if judged and record is not None:
        state = str(record["verdict"])
    elif tables and experiment is not None and not experiment.rows and all(run.state == "complete" for run in runs):
        state = TABLE
    else:
        state = NOT_RUN if not runs else UNDER_WAY if any(run.state == "running" for run in runs) else SO_FAR
    series = [
        (labels[variant], [run.curve for _, run in sorted(by_seed.items(), key=lambda item: item[0]) if run.curve])
        for variant, by_seed in own.items()
    ]
    if not tables and runs:
        tables = _plain_tables(labels, own)
    return Section(
        name=name,
        title=_text(record, "title") or (experiment.title if experiment else name),
        state=state,
        statement=_text(record, "statement") or (experiment.claim if experiment else ""),
        paper_section=_text(record, "section") or (experiment.section if experiment else ""),
        reason=_text(record, "reason"),
        rule=_text(record, "rule"),
        registered=f"rule {record['rule_digest'][:12]}, {record['rule_registered']}" if record is not None else "",
        command=_text(record, "command") or (as_called(experiment.command) if experiment else ""),
        lines=_lines(record["rows"]) if record is not None and (judged or runs) else [],
        tables=tables if state != NOT_RUN else {},
        table_notes=table_notes,
        about=[str(line) for line in record["about"]] if record is not None and record["about"] else about,
        figures=[
            Figure(*FIGURES[figure], reports / f"{figure}.png")
            for figure in FIGURES
            if (reports / f"{figure}.png").is_file() and not (reports / f"{figure}.png").is_symlink()
        ],
        runs=runs,
        planned=max(len(runs), len(own) * record["seeds"] if record is not None and not judged else 0),
        series=[(label, curves) for label, curves in series if curves],
        levels={
            panel: row.level
            for panel in page_charts.PANELS
            for row in (experiment.rows.values() if experiment else ())
            if row.measure == f"epochs_to_{panel}_error" and row.level is not None
        },
    )


def _text(record: Mapping[str, Any] | None, key: str) -> str:
    return "" if record is None else str(record[key])


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The rows of a claim; those of one unit share their axis."""
    by_unit: dict[str, list[float | None]] = {}
    for row in rows:
        values = by_unit.setdefault(f"{row['how']} {row['unit']}", [])
        values += [*(row[key] for key in ("mean", "low", "high", "paper")), _bound(row) or None]
    made = []
    for row in rows:
        ratio, zero = row["how"] == "ratio", _no_effect(row)
        plot = None
        if row["mean"] is not None or row["paper"] is not None:
            numbers = {key: row[key] for key in ("mean", "low", "high", "paper")}
            if ratio:  # which a damaged record alone has at 0 or below
                numbers = {key: value if value is not None and value > 0 else None for key, value in numbers.items()}
            plot = page_charts.interval(
                **numbers,
                claimed=_claimed(row),
                zero=zero,
                ratio=ratio,
                reach=page_charts.reach_of(by_unit[f"{row['how']} {row['unit']}"], zero, ratio),
                at_least=row["at_least"],
            )
        made.append(
            Line(
                label=row["label"],
                paper=claims_table.paper_in_words(row),
                here=claims_table.in_words(row),
                n=claims_table.count(row),
                p=ablation_table.p_in_words(row["p_corrected"]),
                verdict=row["judgement"] or "",
                decides=row["decides"],
                plot=plot,
            )
        )
    return made


def _bound(row: Mapping[str, Any]) -> float:
    return float(row["expected"].partition(" ")[2])


def _no_effect(row: Mapping[str, Any]) -> float:
    """Where a row's line stands: at no effect, or at what a value is compared with."""
    if row["how"] == "ratio":
        return 1.0
    return 0.0 if row["how"] == "difference" or row["expected"].startswith("within") else _bound(row)


def _claimed(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """From where to where the claim holds."""
    bound = _bound(row)
    if row["how"] == "ratio" and bound <= 0:  # which a damaged record alone has
        return None, None
    if row["expected"].startswith("above"):
        return bound, None
    if row["expected"].startswith("below"):
        return None, bound
    return (1 / bound, bound) if row["how"] == "ratio" else (-bound, bound)


def _tables(
    name: str,
    experiment: Experiment | None,
    own: Mapping[str, Mapping[int, RunView]],
    kept: Mapping[str, Any] | None,
    notes: list[str],
) -> tuple[dict[str, list[Line]], list[str], list[str]]:
    """(tables of errors against the base by metric, the notes that explain them, lines on the runs)."""
    if kept is None and experiment is not None and experiment.margin is not None:
        results = {
            variant: {seed: run.result for seed, run in by_seed.items() if run.result is not None}
            for variant, by_seed in own.items()
        }
        if results.get(experiment.base):
            seeds = len({seed for by_seed in own.values() for seed in by_seed})
            try:
                table = ablation_table.make_table(experiment, results, seeds)
            except UserError as error:
                notes.append(f"{name}: {error}")
                return {}, [], []
            kept = {"rows": ablation_table.records(table), "notes": ablation_table.notes(table), "about": ""}
    if kept is None:
        return {}, [], []
    made = {heading: _error_lines(kept["rows"], metric) for metric, heading in ablation_table.HEADINGS.items()}
    return made, list(kept["notes"]), [kept["about"]] if kept["about"] else []


def _error_lines(rows: Sequence[Mapping[str, Any]], metric: str) -> list[Line]:
    def of(row: Mapping[str, Any], key: str) -> Any:
        return row.get(f"{metric}_{key}")

    values: list[float | None] = []
    for row in rows:
        half_width = of(row, "difference_half_width") or 0.0
        if (difference := of(row, "difference")) is not None:
            values += [difference - half_width, difference + half_width]
        values += [of(row, "paper_difference"), of(row, "margin"), -(of(row, "margin") or 0.0)]
    reach = page_charts.reach_of(values, 0.0, ratio=False)
    made = []
    for row in rows:
        difference, half_width, margin = (of(row, key) for key in ("difference", "difference_half_width", "margin"))
        paper = of(row, "paper_difference")
        is_base = of(row, "verdict_in_words") is None
        plot = None
        if not is_base and (difference is not None or paper is not None):
            known = difference is not None and half_width is not None
            plot = page_charts.interval(
                mean=difference,
                low=difference - half_width if known else None,
                high=difference + half_width if known else None,
                paper=paper,
                claimed=(-(margin or 0.0), margin or 0.0),
                zero=0.0,
                ratio=False,
                reach=reach,
                shade="margin",
            )
        made.append(
            Line(
                label=row["label"],
                paper="" if paper is None else f"{paper:+.1f}",
                here="base" if is_base else "" if difference is None else _signed(difference, half_width),
                error=ablation_table.in_words(of(row, "error"), of(row, "half_width")),
                n=str(row["n"]),
                p=ablation_table.p_in_words(of(row, "p_corrected")),
                verdict=of(row, "verdict_in_words") or "",
                plot=plot,
            )
        )
    return made


def _signed(mean: float, half_width: float | None) -> str:
    return ablation_table.in_words(mean, half_width, signed=True)


def _plain_tables(labels: Mapping[str, str], own: Mapping[str, Mapping[int, RunView]]) -> dict[str, list[Line]]:
    """Errors by variant, where nothing is compared."""
    made: dict[str, list[Line]] = {}
    for metric, key in METRICS.items():
        for variant, by_seed in own.items():
            done = [run.result["metrics"][key] for run in by_seed.values() if run.result is not None]
            if done:
                found = ablation_table.with_interval(estimate([100.0 * value for value in done]))
                n = f"{len(done)}" if len(done) == len(by_seed) else f"{len(done)} of {len(by_seed)}"
                made.setdefault(ablation_table.HEADINGS[metric], []).append(Line(labels[variant], error=found, n=n))
    return made


def _series_by_name(runs: Iterable[RunView]) -> tuple[list[tuple[str, list[page_charts.Curve]]], list[str]]:
    """(curves by row, a line where not all are drawn). Runs whose names differ in the seed alone are one row."""
    made: dict[str, list[page_charts.Curve]] = {}
    for run in runs:
        if run.curve:
            made.setdefault(run.row, []).append(run.curve)
    if len(made) <= MOST_SERIES:
        return list(made.items()), []

    def last_error(row: str) -> float:
        return min(curve[max(curve)][0] for curve in made[row])

    best = sorted(made, key=last_error)[:MOST_SERIES]
    note = f"Learning curves: of {len(made)} rows the {MOST_SERIES} with the lowest last error."
    return [(row, curves) for row, curves in made.items() if row in best], [note]
