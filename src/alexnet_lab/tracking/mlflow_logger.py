"""MLflow, by Lightning's MLFlowLogger: a run that is continued is the same run there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import MLFlowLogger

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import write_text
from alexnet_lab.tracking.run_identity import SINGLE, told_configuration, variant

ID_FILE, STORE = "mlflow_run_id", "mlruns"


def mlflow_logger(run: RunConfig, folder: Path) -> MLFlowLogger:
    """The logger of a run, or of the one that its folder says it is. Reaches nothing yet."""
    said = run.logger.mlflow
    return MLFlowLogger(
        experiment_name=said.experiment_name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.sweep or SINGLE,
        run_name=said.run_name or f"{variant(run, folder)}_seed-{run.seed}",
        tracking_uri=said.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"),
        save_dir=str((folder / STORE).absolute()),
        run_id=_kept_id(folder),
    )


def _kept_id(folder: Path) -> str | None:
    try:
        found = (folder / ID_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return found if re.fullmatch("[0-9a-f]{1,64}", found) else None


class BeginMlflow(Callback):
    """Begins the run on MLflow, or finds it again, on rank zero. Raises UserError where MLflow does not answer."""

    def __init__(self, logger: MLFlowLogger, run: RunConfig, folder: Path) -> None:
        self.logger, self.run, self.folder = logger, run, folder

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        is_new = _kept_id(self.folder) is None
        try:
            number = self.logger.run_id
            if is_new:
                self.logger.log_hyperparams(told_configuration(self.run))
                write_text(self.folder / ID_FILE, f"{number}\n")
        except OSError:
            raise
        except Exception as error:  # of MLflow, its server or the way there
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"logger=mlflow: {lines[0]:.300}; is logger.mlflow.tracking_uri right?") from error
