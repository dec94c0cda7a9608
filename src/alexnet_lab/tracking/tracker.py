"""The tracker of a run: who else is told of the metrics. The run folder holds everything in any case."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger


class Tracker:
    """What a run has to do with its tracker: loggers and callbacks for the trainer, rows, and the end.

    This one tells nobody.
    """

    loggers: list[Logger]
    callbacks: list[Callback]

    def __init__(self) -> None:
        self.loggers, self.callbacks = [], []

    def row(self, values: dict[str, float]) -> None:
        """A row of metrics.csv, on rank zero alone."""

    def finish(self, error: BaseException | None) -> None:
        """End the tracker's run: well (None), or as the exception says. Raises nothing."""
