"""The optimizer and its schedule (section 5)."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, ReduceLROnPlateau

from alexnet_lab.config import OptimizationConfig


def make_optimizer(network: nn.Module, recipe: OptimizationConfig) -> SGD:
    """SGD with momentum; weights decay, biases do not and learn at a rate of their own.

    PyTorch keeps v = 0.9 v + g and w -= lr v where the paper has v = 0.9 v - lr g and w += v: the same
    steps, except for the few after a change of the learning rate.
    """
    weights = [p for name, p in network.named_parameters() if not name.endswith("bias")]
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    groups = [
        {"params": weights, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
        {"params": biases, "lr": recipe.learning_rate * recipe.bias_learning_rate_factor, "weight_decay": 0.0},
    ]
    return SGD(groups, momentum=recipe.momentum)


def make_schedule(optimizer: SGD, recipe: OptimizationConfig, steps: int) -> LRScheduler | None:
    """The learning rate over a run of `steps` optimizer steps; None keeps it constant."""
    factor = 1.0 / recipe.divisor
    if recipe.schedule == "milestones":
        return MultiStepLR(optimizer, [round(fraction * steps) for fraction in recipe.milestones], gamma=factor)
    if recipe.schedule == "plateau":
        lowest = [group["lr"] * factor**recipe.divisions for group in optimizer.param_groups]
        # A rate at its floor is "reduced" by nothing: that ends the divisions after the stated number.
        return ReduceLROnPlateau(
            optimizer, factor=factor, patience=recipe.plateau_patience, min_lr=lowest, threshold=0.0
        )
    return None


def for_lightning(optimizer: SGD, schedule: LRScheduler | None) -> Any:
    """The pair in the form that LightningModule.configure_optimizers returns."""
    if schedule is None:
        return optimizer
    if isinstance(schedule, ReduceLROnPlateau):
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "epoch", "monitor": "val_top1_error"},
        }
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
