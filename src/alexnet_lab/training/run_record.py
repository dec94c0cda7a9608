"""What a run leaves in its folder while it goes: metrics.csv and progress.json."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from alexnet_lab.core import environment
from alexnet_lab.core.epochs import ends_step, epochs_between, steps_of_run, steps_per_epoch, validated
from alexnet_lab.core.growing_file import GrowingText
from alexnet_lab.runs.metrics import METRICS_FILE, row_text, rows_so_far, values_of_step
from alexnet_lab.runs.progress import show_progress
from alexnet_lab.training.failures import ChanceLevelDetector, diverged
from alexnet_lab.training.strategies import Towers

log = logging.getLogger(__name__)

EPOCH_METRICS = ("train_top1_error", "val_loss", "val_top1_error", "val_top5_error")
STEPS_ALL_RECORDED = 50  # a run that goes wrong does so here


class RunRecord(Callback):
    """Rank zero writes; every rank takes part in averaging the loss.

    metrics.csv: a row for each of the first 50 steps and each `every`-th step (train_loss is the mean over
    the global batch, learning_rate that of the weights in this step), and a row at the end of each epoch.
    Steps count from 1, epochs from 0.
    progress.json, at most once a second, is for whoever watches.
    """

    def __init__(
        self, folder: Path, every: int, batch_size: int, started: float, chance_level: ChanceLevelDetector
    ) -> None:
        self.folder, self.every, self.batch_size = folder, every, batch_size
        self.chance_level = chance_level
        self.own_code = ""  # parts.own_code: what else of somebody's own computes
        self.warnings: list[str] = []
        self.parts: list[dict[str, Any]] = []  # what computed which steps: environment.part from step from_step on
        self.tell: Callable[[dict[str, float]], None] = lambda row: None  # who else hears of each row
        self.started, self.fit_started = started, time.monotonic()
        self.earlier_seconds = self.earlier_fit_seconds = 0.0  # of the sessions that this one continues
        self.training_seconds = 0.0
        self.images = 0
        self.history: list[dict[str, float]] = []
        self._losses: list[torch.Tensor] = []  # of the batches of a step
        self._file: GrowingText | None = None
        self._shown = self._tick = self._rate = 0.0

    @property
    def images_per_second(self) -> float:
        """Training images per second over all devices, validation and start-up not counted."""
        return self.images / self.training_seconds if self.training_seconds else 0.0

    @property
    def wall_seconds(self) -> float:
        """From the start of the program, all sessions of the run together."""
        return self.earlier_seconds + time.monotonic() - self.started

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": [dict(epoch) for epoch in self.history],
            "images": self.images,
            "training_seconds": self.training_seconds,
            "wall_seconds": self.wall_seconds,
            "fit_seconds": self._fit_seconds(),
            "warnings": list(self.warnings),
            "parts": [dict(part) for part in self.parts],
            "losses": [list(seen) for seen in self.chance_level.losses],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = state["history"]
        self.images, self.training_seconds = state["images"], state["training_seconds"]
        self.earlier_seconds, self.earlier_fit_seconds = state["wall_seconds"], state["fit_seconds"]
        self.warnings = state["warnings"]
        self.parts = state.get("parts", [{"from_step": 0, **environment.UNKNOWN_PART}])  # versions before 2 kept none
        self.chance_level.losses.extend((step, loss) for step, loss in state["losses"])

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.fit_started = self._tick = time.monotonic()
        self._begin_part(trainer)
        if trainer.is_global_zero:
            path, done = self.folder / METRICS_FILE, len(self.history) * epochs_between(trainer)
            rows = rows_so_far(path, trainer.global_step, done)
            self._file = GrowingText(path, rows)
            # A step whose validation was interrupted: a tracker keeps an epoch's last step until that is over.
            validated_at = (done + epochs_between(trainer)) * steps_per_epoch(trainer)
            if trainer.global_step == min(validated_at, steps_of_run(trainer)):
                for values in values_of_step(rows, trainer.global_step):
                    self.tell(values)
            self._show(trainer, "training")

    def _begin_part(self, trainer: lightning.Trainer) -> None:
        """Take note of what computes from here on, where it is not what computed before."""
        now = environment.part(trainer.world_size) | ({"own_code": self.own_code} if self.own_code else {})
        if isinstance(trainer.strategy, Towers):
            now["towers"] = "on two devices"
        changed = environment.changes(self.parts[-1], now) if self.parts else []
        if not self.parts or changed:
            self.parts.append({"from_step": trainer.global_step, **now})
        if changed and trainer.is_global_zero:
            text = "from step %d on this run is computed otherwise than before, so its bits may differ: %s"
            log.warning(text, trainer.global_step, "; ".join(changed))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._tick = time.monotonic()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # when the step has ended it is the next one's

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, ends = trainer.global_step, ends_step(trainer, batch_idx)
        recorded = step + (not ends)  # the step that this batch is for
        if recorded <= STEPS_ALL_RECORDED or recorded % self.every == 0:
            self._losses.append(outputs["loss"].detach() * trainer.accumulate_grad_batches)  # Lightning divides by it
        if ends and self._losses:
            loss = trainer.strategy.reduce(torch.stack(self._losses).mean(), reduce_op="mean")
            self._losses = []
            value = _finite(float(loss), step)
            self._row(epoch=trainer.current_epoch, step=step, train_loss=value, learning_rate=self._rate)
            self._warn_if_stuck(step, value)
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
        if not validated(trainer):
            return
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
            self._file.close()
            self._file = None

    def sync(self) -> None:
        """Put the rows so far on the disk, before a checkpoint that relies on them."""
        if self._file is not None:
            self._file.sync()

    def _warn_if_stuck(self, step: int, loss: float) -> None:
        if not self.warnings and (warning := self.chance_level.see(step, loss)):
            self.warnings.append(warning)
            if self._file is not None:
                log.warning(warning)

    def _fit_seconds(self) -> float:
        return self.earlier_fit_seconds + time.monotonic() - self.fit_started

    def _row(self, **values: float) -> None:
        if self._file is None:
            return
        values["seconds"] = round(self._fit_seconds(), 3)
        self._file.add(row_text(values))
        self.tell(values)

    def _show(self, trainer: lightning.Trainer, state: str) -> None:
        self._shown = time.monotonic()
        steps, done, epochs = steps_of_run(trainer), trainer.global_step, trainer.max_epochs or 0
        elapsed = self._fit_seconds()
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
            "warnings": self.warnings,
        }
        show_progress(self.folder, progress)


def _finite(loss: float, step: int) -> float:
    """The loss itself; raises UserError where it is no number to go on with."""
    if not math.isfinite(loss):
        raise diverged(f"loss is {loss}", step)
    return loss
