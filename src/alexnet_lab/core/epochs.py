"""Steps and epochs of a Lightning trainer."""

from __future__ import annotations

import math

import lightning


def epochs_of(max_epochs: int, max_steps: int | None, steps: int) -> int:
    """Epochs that a run begins, of so many steps each, where it ends with max_epochs or max_steps."""
    return max_epochs if max_steps is None else min(max_epochs, math.ceil(max_steps / steps))


def steps_per_epoch(trainer: lightning.Trainer) -> int:
    """Optimizer steps of each epoch but a last one that max_steps ends; 1 at least, so that it may divide.

    To be asked before that last one.
    """
    return max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))


def steps_of_run(trainer: lightning.Trainer) -> int:
    """Optimizer steps of the whole run, as its module has counted them in configure_optimizers."""
    return int(getattr(trainer.lightning_module, "steps", trainer.estimated_stepping_batches))


def ends_step(trainer: lightning.Trainer, batch_idx: int) -> bool:
    """Whether the optimizer steps after this batch of an epoch, which accumulate_grad_batches may put off."""
    done = batch_idx + 1
    return done % trainer.accumulate_grad_batches == 0 or done == trainer.num_training_batches


def epochs_between(trainer: lightning.Trainer) -> int:
    """Epochs from one validation to the next."""
    return trainer.check_val_every_n_epoch or 1


def validated(trainer: lightning.Trainer) -> bool:
    """Whether the present epoch has a validation at its end."""
    return (trainer.current_epoch + 1) % epochs_between(trainer) == 0
