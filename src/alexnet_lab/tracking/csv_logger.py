"""The table that Lightning's CSVLogger writes, for a run that may be continued: that one begins its file anew."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from alexnet_lab.core.growing_file import GrowingText
from alexnet_lab.tracking.rows_logger import RowsLogger

FOLDER, FILE = "csv_logger", "metrics.csv"


class CsvLogger(RowsLogger):
    """csv_logger/metrics.csv of a run folder: a row for each call, a column for each name that was ever logged, `step`
    from 0 as Lightning counts it. Every row is in the file at once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FOLDER / FILE)
        self._names: list[str] = []
        self._again: list[Mapping[str, str]] = []  # rows of the last step that is done, which may be logged once more

    @property
    def name(self) -> str:
        return FOLDER

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parents[1])

    @property
    def log_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def go_on(self, steps: int) -> None:
        """Keep the rows of the first `steps` steps; those after them come again, as may some of the last one kept."""
        rows = [row for row in self._rows() if (int(row["step"]) if row["step"].isdigit() else -1) < steps]
        self._again = [row for row in rows if row["step"] == str(steps - 1)]
        self._write(rows, {name for row in rows for name in row})

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        row = {name: _text(value) for name, value in metrics.items()} | {"step": "" if step is None else str(step)}
        if any(_filled(before) == row for before in self._again):
            return
        if self._file is None or not row.keys() <= set(self._names):
            self._write(self._rows() if self._file is not None else [], {*self._names, *row})
        assert self._file is not None
        self._file.add(_line(row.get(name, "") for name in self._names))

    def _rows(self) -> list[dict[str, str]]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        rows = csv.DictReader(text.split("\n")[:-1])  # a last line without an end is one that a crash has cut
        return [row for row in rows if "step" in row and None not in row and None not in row.values()]

    def _write(self, rows: Iterable[Mapping[str, str]], names: set[str]) -> None:
        self._names = sorted(names)
        self.path.parent.mkdir(exist_ok=True)
        if self._file is not None:
            self._file.close()
        lines = [self._names, *([row.get(name, "") for name in self._names] for row in rows)]
        self._file = GrowingText(self.path, "".join(map(_line, lines)))


class GoesOn(Callback):
    """Tells the logger where a run goes on."""

    def __init__(self, logger: CsvLogger) -> None:
        self.logger = logger

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.logger.step = lambda: max(0, trainer.global_step - 1)
        self.logger.go_on(trainer.global_step)


def _filled(row: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if value or name == "step"}


def _text(value: Any) -> str:
    return str(value.item() if isinstance(value, torch.Tensor) else value)


def _line(values: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
