"""From the logger group of a configuration to a tracker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger

from alexnet_lab.config.options import RunConfig
from alexnet_lab.tracking.tracker import Tracker


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
