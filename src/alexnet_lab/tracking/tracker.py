"""The tracker of a run: who else is told of the metrics. The run folder holds everything in any case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger

from alexnet_lab.config.options import RunConfig


class Tracker:
    """What a run has to do with its tracker: a logger and callbacks for the trainer, rows, and the end.

    This one tells nobody.
    """

    logger: Logger | bool = False
    callbacks: list[Callback]

    def __init__(self) -> None:
        self.callbacks = []

    def row(self, values: dict[str, float]) -> None:
        """A row of metrics.csv, on rank zero alone."""

    def finish(self, error: BaseException | None) -> None:
        """End the tracker's run: well (None), or as the exception says. Raises nothing."""


def make_tracker(run: RunConfig, folder: Path, stop: Callable[[str], None]) -> Tracker:
    """The tracker that run.logger names, for the run in `folder`.

    stop: what it is to call, with the button's name, from any thread, where a person stops the run on the tracker.
    """
    if run.logger.name == "wandb":
        from alexnet_lab.tracking.wandb_tracker import WandbTracker

        return WandbTracker(run, folder, stop)
    tracker = Tracker()
    if run.logger.name == "csv":
        tracker.logger = CSVLogger(folder, name="csv_logger", version="")
    return tracker
