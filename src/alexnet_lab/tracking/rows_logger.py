"""What loggers that write rows into a file of the run folder have in common."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from alexnet_lab.core.growing_file import GrowingText
from alexnet_lab.tracking.wandb_logger import Experiment


class RowsLogger(Logger):
    """Rank zero writes. step: gives the one that the run is at, None before it begins."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.step: Callable[[], int | None] = lambda: None
        self._file: GrowingText | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> Experiment:
        """What a callback finds that speaks with W&B's run: its numbers are rows here."""
        return Experiment(lambda values, **drawn: self._keep(values), lambda kind, values: None)

    def _keep(self, values: dict[str, Any]) -> None:
        numbers = {key: value for key, value in values.items() if isinstance(value, (int, float))}
        if numbers:
            self.log_metrics(numbers, self.step())

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *arguments: Any, **options: Any) -> None:
        """They are in config.yaml."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
