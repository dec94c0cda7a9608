"""What a run's metrics are sent to besides its folder, which holds everything in any case."""

from __future__ import annotations

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger


class Tracker:
    """Loggers and callbacks for the trainer, rows of metrics, and the end of the run. This one is a no-op."""

    loggers: list[Logger]
    callbacks: list[Callback]

    def __init__(self) -> None:
        self.loggers, self.callbacks = [], []

    def row(self, values: dict[str, float]) -> None:
        """A row of metrics.csv, on rank zero alone."""

    def finish(self, error: BaseException | None) -> None:
        """End the tracker's run: well (None), or as the exception says. Raises nothing."""
