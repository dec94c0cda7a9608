"""MLflow, by Lightning's MLFlowLogger: a run that is continued is the same run there."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_text
from alexnet_lab.tracking.run_identity import SINGLE, told_configuration, variant

log = logging.getLogger(__name__)

ID_FILE, DATABASE, ARTIFACTS = "mlflow_run_id", "mlflow.db", "mlflow"


def mlflow_logger(run: RunConfig, folder: Path) -> RunOnMlflow:
    """The logger of a run, or of the one that its folder says it is. Raises UserError for an address that is none."""
    said, told, here = run.logger.mlflow, os.environ.get, folder.absolute()
    with _one_line():
        return RunOnMlflow(
            experiment_name=said.experiment_name or told("MLFLOW_EXPERIMENT_NAME") or run.sweep or SINGLE,
            run_name=said.run_name or f"{variant(run, folder)}_seed-{run.seed}",
            # Not Lightning's default, a folder of files, which MLflow takes no longer.
            tracking_uri=said.tracking_uri or told("MLFLOW_TRACKING_URI") or f"sqlite:///{here / DATABASE}",
            artifact_location=None if said.tracking_uri or told("MLFLOW_TRACKING_URI") else str(here / ARTIFACTS),
            run_id=_kept_id(folder),
        )


@contextmanager
def _one_line() -> Iterator[None]:
    """What MLflow, its server or the way there does not allow, in a line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"logger=mlflow: {lines[0]:.300}; is logger.mlflow.tracking_uri right?") from error


class RunOnMlflow(MLFlowLogger):
    """A run that cannot begin there ends in a line; where MLflow fails later, the run goes on without it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._given_up = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        with _one_line():
            return MLFlowLogger.experiment.fget(self)  # type: ignore[attr-defined]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._try(lambda: super(RunOnMlflow, self).log_metrics(metrics, step))

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        self._try(lambda: super(RunOnMlflow, self).finalize(status))

    def _try(self, say: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            say()
        except Exception as error:
            self._given_up = True
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
            log.warning("MLflow: stopped (%.200s); training goes on and its folder has everything", why)


def _kept_id(folder: Path) -> str | None:
    try:
        found = (folder / ID_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return found if re.fullmatch("[0-9a-f]{1,64}", found) else None


class BeginMlflow(Callback):
    """Begins the run on MLflow, or finds it again, on rank zero. Raises UserError where MLflow does not answer."""

    def __init__(self, logger: RunOnMlflow, run: RunConfig, folder: Path) -> None:
        self.logger, self.run, self.folder = logger, run, folder

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        is_new = _kept_id(self.folder) is None
        with _one_line():
            number = self.logger.run_id
            if is_new:
                self.logger.log_hyperparams(told_configuration(self.run))
        if is_new:
            write_text(self.folder / ID_FILE, f"{number}\n")
