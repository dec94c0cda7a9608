"""From the logger group of a configuration to a tracker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from alexnet_lab.config.options import OwnLoggerConfig, RunConfig, TrackerConfig
from alexnet_lab.config.parts import check_arguments, found, make, takes
from alexnet_lab.core.errors import UserError
from alexnet_lab.tracking.csv_logger import CsvLogger, GoesOn
from alexnet_lab.tracking.mlflow_logger import BeginMlflow, mlflow_logger
from alexnet_lab.tracking.tracker import Tracker


def make_tracker(run: RunConfig, folder: Path, stop: Callable[[str], None]) -> Tracker:
    """The trackers that run.logger names, for the run in `folder`; nobody is told of a fast_dev_run, as in Lightning.

    stop: what it is to call, with the button's name, from any thread, where a person stops the run on the tracker.
    """
    if run.trainer.fast_dev_run:
        return Tracker()
    names = run.logger.names()
    if "wandb" in names:
        from alexnet_lab.tracking.wandb_tracker import WandbTracker

        tracker: Tracker = WandbTracker(run, folder, stop)
    else:
        tracker = Tracker()
    if "csv" in names:
        rows = CsvLogger(folder)
        tracker.loggers.append(rows)
        tracker.callbacks.append(GoesOn(rows))
    if "tensorboard" in names:
        tracker.loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    if "mlflow" in names:
        mlflow = mlflow_logger(run, folder)
        tracker.loggers.append(mlflow)
        tracker.callbacks.append(BeginMlflow(mlflow, run, folder))
    if isinstance(run.logger, OwnLoggerConfig):
        tracker.loggers.append(_own_logger(run.logger, folder))
    return tracker


def check_own_logger(choice: TrackerConfig) -> None:
    """Raise UserError where a logger of one's own cannot be found or does not take its arguments. Nothing is made: that
    may begin a run elsewhere.
    """
    if isinstance(choice, OwnLoggerConfig):
        check_arguments("logger", choice._target_, list(choice.arguments), list(_given(choice, Path())))


def _given(choice: OwnLoggerConfig, folder: Path) -> dict[str, str]:
    own = found("logger", choice._target_)
    return {"save_dir": str(folder)} if takes(own, "save_dir") and "save_dir" not in choice.arguments else {}


def _own_logger(choice: OwnLoggerConfig, folder: Path) -> Logger:
    """The logger that the configuration names; it writes into the run folder where it takes a folder and is given none.

    Raises UserError where it cannot be made.
    """
    made = make("logger", choice, **_given(choice, folder))
    if not isinstance(made, Logger):
        raise UserError(f"logger: {choice._target_} gives {type(made).__name__}, not a Logger of Lightning")
    return made
