"""A training loss of one's own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alexnet_lab.config.options import RunConfig
from alexnet_lab.config.own import TARGET
from alexnet_lab.config.parts import failed, make
from alexnet_lab.core.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (N, classes) and class numbers (N,), or probabilities: a number


def make_loss(run: RunConfig) -> Loss | None:
    """The loss that the configuration names, None for cross-entropy. Raises UserError where it cannot be made."""
    made: Loss | None = make("loss", run.loss) if run.loss else None
    return made


def check_loss(run: RunConfig, num_classes: int) -> None:
    """Raise UserError where the loss does not make a number of logits and class numbers, or of a mixture's labels."""
    loss = make_loss(run)
    if loss is None:
        return
    logits = torch.zeros(2, num_classes, requires_grad=True)
    targets = torch.full((2, num_classes), 1 / num_classes) if run.data.mixup else torch.tensor([0, num_classes - 1])
    try:
        value = loss(logits, targets)
    except Exception as error:  # of somebody's code, as many kinds as there are
        kind = "probabilities (2, classes), as data.mixup has them" if run.data.mixup else "class numbers (2,)"
        raise failed("loss", f"{run.loss[TARGET]} of logits (2, classes) and {kind}", error) from error
    if not isinstance(value, Tensor) or value.dim() != 0 or not value.requires_grad:
        given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise UserError(f"loss: {run.loss[TARGET]} must give one number that depends on the logits, and gives {given}")
