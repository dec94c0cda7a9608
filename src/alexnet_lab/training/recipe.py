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
    groups: list[dict[str, Any]] = [
        {
            "params": [],
            "lr": recipe.learning_rate * (recipe.bias_learning_rate_factor if bias else 1.0),
            "weight_decay": 0.0 if bias else recipe.weight_decay,
            "bias": bias,
            "conv1": conv1,
        }
        for conv1 in ((False, True) if _conv1_is_apart(recipe) else (False,))
        for bias in (False, True)
    ]
    for name, parameter in network.named_parameters():
        conv1 = _conv1_is_apart(recipe) and name.startswith("conv1.")
        groups[2 * conv1 + name.endswith("bias")]["params"].append(parameter)
    return SGD(groups, momentum=recipe.momentum, fused=True)


def _conv1_is_apart(recipe: OptimizationConfig) -> bool:
    return bool(recipe.conv1_milestones) or recipe.freeze_conv1_at < 1.0


def set_exceptions(optimizer: SGD, recipe: OptimizationConfig, step: int, steps: int) -> None:
    """Set the rates that do not follow the schedule alone, before optimizer step `step` (from 0) of `steps`.

    They are derived from the weights' (the first group's), which the schedule sets, so that nothing has to be
    remembered when a run is continued.
    Source: the notes of the original program's run 145, and the rates that its parameter file ends with.
    """
    divisions = sum(step >= round(fraction * steps) for fraction in recipe.conv1_milestones)
    frozen = recipe.freeze_conv1_at < 1.0 and step >= round(recipe.freeze_conv1_at * steps)
    for group in optimizer.param_groups:
        if group["conv1"] or (group["bias"] and not recipe.divide_bias_rate):
            undivided = group["bias"] and not recipe.divide_bias_rate
            rate = recipe.learning_rate if undivided else optimizer.param_groups[0]["lr"]
            rate *= recipe.bias_learning_rate_factor if group["bias"] else 1.0
            if group["conv1"]:
                rate = 0.0 if frozen else rate / recipe.divisor ** (0 if undivided else divisions)
            group["lr"] = rate


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
