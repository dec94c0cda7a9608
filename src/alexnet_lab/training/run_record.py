"""What a run leaves in its folder while it goes: metrics.csv and progress.json."""

from __future__ import annotations

import csv
import math
import os
import time
from pathlib import Path
from typing import Any, TextIO

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from alexnet_lab.errors import UserError
from alexnet_lab.files import write_json

COLUMNS = (
    "epoch",
    "step",
    "seconds",
    "train_loss",
    "learning_rate",
    "train_epoch_loss",
    "train_top1_error",
    "val_loss",
    "val_top1_error",
    "val_top5_error",
    "images_per_second",
)
EPOCH_METRICS = ("train_top1_error", "val_loss", "val_top1_error", "val_top5_error")
STEPS_ALL_RECORDED = 50  # a run that goes wrong does so here


class RunRecord(Callback):
    """Rank zero writes; every rank takes part in averaging the loss.

    metrics.csv: a row for each of the first 50 steps and each `every`-th step (train_loss is the mean over
    the global batch), and a row at the end of each epoch. Steps count from 1, epochs from 0.
    progress.json, at most once a second, is for whoever watches.
    """

    def __init__(self, folder: Path, every: int, batch_size: int) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.started = time.monotonic()
        self.training_seconds = 0.0
        self.images = 0
        self.history: list[dict[str, float]] = []
        self._file: TextIO | None = None
        self._epoch_started = self._shown = self._tick = 0.0

    @property
    def images_per_second(self) -> float:
        """Training pictures per second over all devices, validation and start-up not counted."""
        return self.images / self.training_seconds if self.training_seconds else 0.0

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.started = time.monotonic()
        if trainer.is_global_zero:
            self._file = (self.folder / "metrics.csv").open("w", newline="", encoding="utf-8", buffering=1)
            csv.writer(self._file).writerow(COLUMNS)
            self._show(trainer, "training")

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._tick = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step <= STEPS_ALL_RECORDED or step % self.every == 0:
            loss = trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")
            value = _finite(float(loss), step)
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self._row(epoch=trainer.current_epoch, step=step, train_loss=value, learning_rate=rate)
        if trainer.device_ids and pl_module.device.type == "cuda" and batch_idx + 1 == trainer.num_training_batches:
            torch.cuda.synchronize()
        now = time.monotonic()
        self.training_seconds += now - self._tick
        self._tick = now
        self.images += self.batch_size
        if trainer.is_global_zero and now - self._shown > 1.0:
            self._show(trainer, "training")

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            self._show(trainer, "validating")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        _finite(metrics["train_loss"] + metrics["val_loss"], trainer.global_step)
        row = {key: metrics[key] for key in EPOCH_METRICS}
        self.history.append({"train_loss": metrics["train_loss"], **row})
        self._row(
            epoch=trainer.current_epoch,
            step=trainer.global_step,
            train_epoch_loss=metrics["train_loss"],
            images_per_second=self.images_per_second,
            **row,
        )
        if trainer.is_global_zero:
            self._show(trainer, "training")

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.close()

    def close(self) -> None:
        """Put what was written on the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _row(self, **values: float) -> None:
        if self._file is None:
            return
        values["seconds"] = round(time.monotonic() - self.started, 3)
        csv.writer(self._file).writerow([_text(values.get(column)) for column in COLUMNS])

    def _show(self, trainer: lightning.Trainer, state: str) -> None:
        self._shown = now = time.monotonic()
        steps, done, epochs = int(trainer.estimated_stepping_batches), trainer.global_step, trainer.max_epochs or 0
        elapsed = now - self.started
        last = self.history[-1] if self.history else {}
        progress = {
            "state": state,
            "epoch": done * epochs / steps if steps else 0,
            "epochs": epochs,
            "step": done,
            "steps": steps,
            "val_top1_error": last.get("val_top1_error"),
            "images_per_second": round(self.images_per_second, 1),
            "seconds_left": round(elapsed / done * (steps - done), 1) if done else None,
        }
        write_json(self.folder / "progress.json", progress, durable=False)


def _finite(loss: float, step: int) -> float:
    """The loss itself; raises UserError where it is no number to go on with."""
    if not math.isfinite(loss):
        raise UserError(f"the loss is {loss} at step {step}: training diverged; try a smaller optim.learning_rate")
    return loss


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
