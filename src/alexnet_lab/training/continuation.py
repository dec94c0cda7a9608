"""When a run saves, when it stops, and how Lightning goes on from there.

A position is (epoch, batches): how many batches of which epoch are done. With all of them done, validation is due.
Nothing else about order or chance has to be kept: images, their variation and dropout are functions of the seed
and the position.
"""

from __future__ import annotations

import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.epochs import ends_step, epochs_between, steps_of_run, validated
from alexnet_lab.core.errors import Preempted, Stopped, UserError
from alexnet_lab.runs.metrics import best_epoch
from alexnet_lab.training.checkpoints import Checkpoints
from alexnet_lab.training.failures import diverged
from alexnet_lab.training.lightning_compat import set_loops
from alexnet_lab.training.own_callbacks import check_plain
from alexnet_lab.training.preemption import Preemption
from alexnet_lab.training.ranks import Ranks
from alexnet_lab.training.run_record import RunRecord

SECONDS_BETWEEN_EPOCHS = 10.0  # that a checkpoint is old before the end of an epoch without validation makes another


class Continuation(Callback):
    """Saves every `checkpoint_minutes`, every `checkpoint_steps`, after each validation, at the end of an epoch where
    the last one is 10 s old, and when asked to end.

    Comes after the record among the callbacks, so that a checkpoint holds the record of its own step.
    Where a callback asks for the end (trainer.should_stop), the run ends after the next validation.
    kept: what every checkpoint says besides: the configuration, and what the run keeps of its images.
    Raises Preempted, on every rank at the same step, when the run was asked to end and its position is saved.
    """

    def __init__(
        self,
        choice: TrainerConfig,
        checkpoints: Checkpoints,
        preemption: Preemption,
        record: RunRecord,
        ranks: Ranks,
        kept: dict[str, Any],
        command: str,
    ) -> None:
        self.every_seconds, self.every_steps = 60 * choice.checkpoint_minutes, choice.checkpoint_steps
        self.checkpoints, self.preemption, self.record, self.ranks = checkpoints, preemption, record, ranks
        self.kept, self.command = kept, command
        self._position = (0, 0)
        self._saved: tuple[int, int] | None = None  # the position that was saved last
        self._saved_at = time.monotonic()
        self._common_batches = 0  # of validation, that every rank has
        self._ending = False  # a callback has asked for the end, which comes with the next validation

    def state_dict(self) -> dict[str, Any]:
        return {"spent": dict(self.checkpoints.spent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.checkpoints.spent = state["spent"]

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self.ranks.meet()
        self.preemption.can_wait = True

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._position = (checkpoint["place"]["epoch"], checkpoint["place"]["batches"])
        self._saved = self._position
        trainer.should_stop, self._ending = checkpoint.get("ended", (False, False))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._saved_at = time.monotonic()
        epoch, batches = self._position
        if len(set(self.ranks.gather(self._position))) > 1:
            raise UserError(
                f"{self.checkpoints.folder}: the ranks do not read the same checkpoint; is the disk shared?"
            )
        # Not by way of Lightning's own state of loaders, which it forgets when the recipe asks for the number of steps.
        trainer.train_dataloader.load_state_dict({"epoch": epoch, "batches": batches})  # type: ignore[union-attr]

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # Here rather than at the epoch's end, because a plateau's schedule steps between the two.
        self._position = (trainer.current_epoch, 0)
        # Epochs of a second that have no validation are not each worth a checkpoint, which takes a twentieth of that.
        was_validated = trainer.current_epoch % epochs_between(trainer) == 0
        late = time.monotonic() - self._saved_at > SECONDS_BETWEEN_EPOCHS
        stop, save = self.ranks.any_of(bool(self.preemption.requested), late and trainer.is_global_zero)
        if trainer.global_step and (was_validated or stop or save):
            self._save(trainer)
        if stop:
            self._stop(trainer)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._defer_end(trainer)
        if not ends_step(trainer, batch_idx):
            return  # no checkpoint holds a gradient
        self._position = (trainer.current_epoch, batch_idx + 1)
        due = self.every_steps and trainer.global_step % self.every_steps == 0
        late = time.monotonic() - self._saved_at > self.every_seconds  # rank zero's clock decides
        stop, save = self.ranks.any_of(bool(self.preemption.requested), late and trainer.is_global_zero)
        if stop or save or due:
            self._save(trainer)
        if stop:
            self._stop(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._common_batches = self.ranks.least(int(trainer.num_val_batches[0]))

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.sanity_checking:
            return
        if batch_idx < self._common_batches and self.ranks.any_of(bool(self.preemption.requested))[0]:
            self._save(trainer)  # as it was before validation, which is done again as a whole
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._defer_end(trainer)
        if self._ending and validated(trainer):
            trainer.should_stop = True
        errors = [epoch["val_top1_error"] for epoch in self.record.history]
        if validated(trainer) and best_epoch(errors) == len(errors) - 1:
            self.checkpoints.mark_best()
        # Lightning would pass over a plateau's step at the end of an epoch that was continued.
        trainer.fit_loop.restarting = False

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._position = (trainer.current_epoch, 0)
        self._save(trainer)
        self.checkpoints.wait()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self.ranks.leave()
        if isinstance(exception, RuntimeError):
            self.ranks.missing(exception)  # now: what Lightning does next may wait for a GPU that waits for a rank

    def _defer_end(self, trainer: lightning.Trainer) -> None:
        """A run ends with a whole epoch and its validation, so that its result is that of its last weights."""
        self._ending |= trainer.should_stop
        trainer.should_stop = False

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        epoch, batches = self._position
        checkpoint["place"] = {"epoch": epoch, "batches": batches}  # under this key since the first version
        checkpoint["ended"] = (trainer.should_stop, self._ending)
        checkpoint.update(self.kept)
        if self._saved is None:  # in this process, the first
            check_plain(checkpoint)
        set_loops(checkpoint["loops"]["fit_loop"], epoch, batches, checkpoint["global_step"], trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        if self._saved != self._position:
            finite = all(bool(torch.isfinite(weights).all()) for weights in trainer.lightning_module.parameters())
            if self.ranks.any_of(not finite)[0]:  # each may have weights of its own
                raise diverged("weights are not finite", trainer.global_step)  # the last checkpoint stays whole
            trainer.save_checkpoint(self.checkpoints.folder, weights_only=False)
        self._saved, self._saved_at = self._position, time.monotonic()

    def _stop(self, trainer: lightning.Trainer) -> None:
        self.checkpoints.wait()
        self.ranks.any_of(False)  # nobody leaves before the file is there
        why, failure = self.preemption.requested or "a signal to another rank", self.checkpoints.failure
        saved = f"could not be saved ({failure}), what was saved before is kept" if failure else "is saved"
        reached = f"step {trainer.global_step} of {steps_of_run(trainer)}"
        kind = Stopped if self.preemption.by_a_person else Preempted
        raise kind(f"ended by {why} after {reached}, which {saved}; continue with: {self.command}")
