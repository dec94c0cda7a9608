"""An experiment's table while its sweep runs."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from alexnet_lab.claims.experiment import Experiment
from alexnet_lab.reports.ablation_table import (
    VERDICT_STYLES,
    AblationTable,
    Row,
    count,
    make_table,
    with_interval,
)
from alexnet_lab.runs.paths import job_name

METRIC = "top1"
WIDEST_LABEL = 26  # letters, so that a row fits 80


class LiveTable:
    """What the live view shows below the jobs: the rows so far, top-1 error alone."""

    def __init__(self, experiment: Experiment, seeds: list[int]) -> None:
        self.experiment, self.seeds = experiment, seeds
        self._places = {
            job_name(name, [f"seed={seed}"]): (name, seed) for name in experiment.variants for seed in seeds
        }
        self._results: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in experiment.variants}
        self._said: set[str] = set()
        self._table: AblationTable | None = None

    @property
    def jobs(self) -> set[str]:
        """Names of the jobs that the table is made of."""
        return set(self._places)

    def take(self, job: str, result: dict[str, Any]) -> list[str]:
        """Take in the result of a job that has ended. Returns a line for each row that is complete by it."""
        name, seed = self._places[job]
        self._results[name][seed] = result
        if not self._results[self.experiment.base]:
            return []
        self._table = make_table(self.experiment, self._results, len(self.seeds))
        return [self._line(row) for row in self._newly_complete(self._table)]

    def table(self) -> Table | None:
        """The rows so far as rich renders them; None before the base has a result."""
        if self._table is None:
            return None
        made = Table(box=None, pad_edge=False, header_style="bold")
        made.add_column("results so far", no_wrap=True, overflow="ellipsis", max_width=WIDEST_LABEL)
        for column in ("n", "top-1 error %", "against base"):
            made.add_column(column, justify="right", no_wrap=True)
        made.add_column("verdict", no_wrap=True)
        for row in self._table.rows:
            difference = row.differences[METRIC]
            made.add_row(
                Text(row.label),
                count(self._table, row),
                with_interval(row.errors[METRIC]),
                with_interval(difference.estimate, signed=True) if difference else "base",
                Text(difference.verdict, VERDICT_STYLES[difference.verdict]) if difference else "",
            )
        return made

    def _newly_complete(self, table: AblationTable) -> list[Row]:
        """Rows, the base's too, whose runs and the base's are complete and that have not been said."""
        complete = {row.variant: row for row in table.rows if table.is_complete(row)}
        if self.experiment.base not in complete:
            return []
        new = [row for name, row in complete.items() if name not in self._said]
        self._said |= complete.keys()
        return new

    def _line(self, row: Row) -> str:
        difference = row.differences[METRIC]
        against = f", {with_interval(difference.estimate, signed=True)} against base" if difference else ""
        said = f": {difference.words}" if difference else ""
        errors = with_interval(row.errors[METRIC])
        return f"{row.label} (n = {len(row.seeds)}): top-1 error {errors} %{against}{said}"
