"""Steps and epochs of a Lightning trainer."""

from __future__ import annotations

import lightning


def steps_per_epoch(trainer: lightning.Trainer) -> int:
    """Optimizer steps of each epoch; 1 at least, so that it may divide."""
    return max(1, int(trainer.estimated_stepping_batches) // max(1, trainer.max_epochs or 1))


def epochs_between(trainer: lightning.Trainer) -> int:
    """Epochs from one validation to the next."""
    return trainer.check_val_every_n_epoch or 1


def validated(trainer: lightning.Trainer) -> bool:
    """Whether the present epoch has a validation at its end."""
    return (trainer.current_epoch + 1) % epochs_between(trainer) == 0
