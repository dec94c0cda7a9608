"""Any sweep, or two: what was swept against the errors over its seeds, the best, and how two sweeps differ."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from alexnet_lab.claims.statistics import Estimate, PairDifference, compare_pairs, estimate
from alexnet_lab.reports.ablation_table import METRICS
from alexnet_lab.runs.same_images import check_same_images
from alexnet_lab.runs.sweep_results import FinishedRun, SweepResults

ABSENT = "-"  # a setting that another network or source has
FIRST_SHOWN = ("name", "source", "architecture", "_target_")  # of keys that change together: those that name a preset


@dataclass(frozen=True)
class Row:
    """The runs of a sweep that differ in their seed alone; errors in percent, by "top1" and "top5"."""

    sweep: str
    settings: dict[str, str]  # every key that differs anywhere, in words
    exact: dict[str, str]  # the same as JSON, which tells apart what words may not
    label: str  # the row in words, of the keys that are shown
    runs: dict[int, FinishedRun]  # by seed
    errors: dict[str, Estimate]

    def by_seed(self, metric: str) -> dict[int, float]:
        """Errors in percent."""
        return {seed: 100.0 * run.result["metrics"][METRICS[metric]] for seed, run in self.runs.items()}


@dataclass(frozen=True)
class Pair:
    """Two rows, one of each sweep, with the same swept settings; differences are first minus second, in points."""

    first: Row
    second: Row
    differences: dict[str, PairDifference]


@dataclass(frozen=True)
class SweepComparison:
    """Rows in the order of their settings.

    shown: keys of the table's columns; together: by such a key, the others that change with it; between: keys that
    tell the two sweeps apart and are the same within each.
    """

    sweeps: list[str]
    shown: list[str]
    together: dict[str, list[str]]
    between: list[str]
    rows: list[Row]
    pairs: list[Pair]
    notes: list[str]  # what is left out, and why

    @cached_property
    def best_row(self) -> Row:
        """That of the lowest mean of the top-1 error; of equal ones the first."""
        return min(self.rows, key=lambda row: row.errors["top1"].mean)

    @cached_property
    def best_run(self) -> FinishedRun:
        """That of the lowest top-1 error; of equal ones the first."""
        every = [run for row in self.rows for run in row.runs.values()]
        return min(every, key=lambda run: run.result["metrics"][METRICS["top1"]])

    def results(self) -> dict[str, dict[int, Mapping[str, Any]]]:
        """The contents of result.json by row and seed, as heading.about takes them."""
        labels = [row.label for row in self.rows]
        return {
            label + (f" ({number})" if labels.count(label) > 1 else ""): {
                seed: run.result for seed, run in row.runs.items()
            }
            for number, (label, row) in enumerate(zip(labels, self.rows, strict=True), start=1)
        }


def compare_sweeps(sweeps: Sequence[SweepResults]) -> SweepComparison:
    """Of one sweep or two. Raises UserError where runs of the same settings were trained on other images."""
    check_same_images({run.folder: run.result for sweep in sweeps for run in sweep.runs})
    names = _names(sweeps)
    every = [(name, run) for name, sweep in zip(names, sweeps, strict=True) for run in sweep.runs]
    keys = _differing([run for _, run in every])
    between = [key for key in keys if len(sweeps) > 1 and all(_is_constant(key, sweep.runs) for sweep in sweeps)]
    together = _together([key for key in keys if key not in between], [run for _, run in every])
    notes = [note for name, sweep in zip(names, sweeps, strict=True) for note in _left_out(name, sweep)]
    groups: dict[tuple[str, ...], dict[int, FinishedRun]] = {}
    for name, run in every:
        runs = groups.setdefault((name, *(_exact(run, key) for key in keys)), {})
        if run.seed in runs:
            notes.append(f"{run.folder}: left out, has the settings and the seed of {runs[run.seed].folder}")
        else:
            runs[run.seed] = run
    short = _short(list(together))
    rows = [
        _row(name, keys, short, dict(sorted(runs.items())), named=len(sweeps) > 1)
        for (name, *_), runs in groups.items()
    ]
    rows.sort(key=lambda row: (names.index(row.sweep), [_in_order(row.settings[key]) for key in together]))
    pairs = _pairs(rows, names, [key for key in keys if key not in between]) if len(sweeps) > 1 else []
    return SweepComparison(names, list(together), together, between, rows, pairs, notes)


def in_words(value: Any) -> str:
    """A setting as a short text that is safe on a terminal and means nothing in Markdown."""
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(in_words, value))})"[:60]
    return re.sub(r"[^\w .,;:()+@/-]", "?", str(value))[:60]


def _names(sweeps: Sequence[SweepResults]) -> list[str]:
    """The folders' own names where they differ, else their paths."""
    names = [in_words(sweep.folder.resolve().name) for sweep in sweeps]
    return names if len(set(names)) == len(names) else [in_words(sweep.folder) for sweep in sweeps]


def _left_out(name: str, sweep: SweepResults) -> list[str]:
    notes = []
    if unfinished := sweep.unfinished:
        few = ", ".join(map(in_words, unfinished[:5])) + (" ..." if len(unfinished) > 5 else "")
        runs = "1 run is" if len(unfinished) == 1 else f"{len(unfinished)} runs are"
        notes.append(f"{name}: {runs} not complete and left out: {few}")
    return notes + [
        f"{name}: left out: {''.join(c if c.isprintable() else '?' for c in line)}" for line in sweep.left_out
    ]


def _exact(run: FinishedRun, key: str) -> str:
    return json.dumps(run.settings[key], sort_keys=True, default=str) if key in run.settings else ABSENT


def _differing(runs: Sequence[FinishedRun]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [key for key in keys if not _is_constant(key, runs)]


def _is_constant(key: str, runs: Sequence[FinishedRun]) -> bool:
    return len({_exact(run, key) for run in runs}) == 1


def _together(keys: Sequence[str], runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """The keys that tell the same runs apart, by the one of them that is shown."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for key in keys:
        first: dict[str, int] = {}  # the run that has a value before all others
        pattern = tuple(first.setdefault(_exact(run, key), number) for number, run in enumerate(runs))
        groups.setdefault(pattern, []).append(key)
    found = {}
    for group in groups.values():
        shown = next((key for key in group if key.rpartition(".")[2] in FIRST_SHOWN), group[0])
        found[shown] = [key for key in group if key != shown]
    return found


def _short(keys: Sequence[str]) -> dict[str, str]:
    """The last word of each key, where no other ends with it."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: word if last.count(word) == 1 and word not in FIRST_SHOWN else key
        for key, word in zip(keys, last, strict=True)
    }


def _row(sweep: str, keys: Sequence[str], short: Mapping[str, str], runs: dict[int, FinishedRun], named: bool) -> Row:
    one = next(iter(runs.values()))
    settings = {key: in_words(one.settings[key]) if key in one.settings else ABSENT for key in keys}
    words = [f"{in_words(short[key])}={settings[key]}" for key in short]
    label = ", ".join([sweep, *words] if named or not words else words)
    row = Row(sweep, settings, {key: _exact(one, key) for key in keys}, label, runs, {})
    row.errors.update({metric: estimate(list(row.by_seed(metric).values())) for metric in METRICS})
    return row


def _in_order(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    return (0, number, "") if math.isfinite(number) else (1, 0.0, text)


def _pairs(rows: Sequence[Row], names: Sequence[str], keys: Sequence[str]) -> list[Pair]:
    by_settings: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        by_settings.setdefault(tuple(row.exact[key] for key in keys), {})[row.sweep] = row
    both = {str(number): found for number, found in enumerate(by_settings.values()) if len(found) == len(names)}
    first, second = names
    differences = {
        metric: compare_pairs(
            {name: (found[first].by_seed(metric), found[second].by_seed(metric)) for name, found in both.items()}
        )
        for metric in METRICS
    }
    return [
        Pair(found[first], found[second], {metric: differences[metric][name] for metric in METRICS})
        for name, found in both.items()
    ]
