"""Histograms of a network's gradients and parameters for a tracker, as wandb.watch gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from alexnet_lab.tracking.histogram import bins_of

Show = Callable[[int, dict[str, list[Any]]], None]  # of a step, and bins by name


class Watch(Callback):
    """Before the first optimizer step and each `every`-th, on rank zero: show(step, bins), steps counted from 1.

    Gradients are those of the whole batch, over all devices, unscaled and before they are clipped.
    what: "gradients", "parameters" or "all".
    """

    def __init__(self, what: str, every: int, show: Show) -> None:
        self.gradients, self.parameters = what in ("gradients", "all"), what in ("parameters", "all")
        self.every, self.show = every, show

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        step = trainer.global_step + 1
        if not trainer.is_global_zero or (step > 1 and step % self.every):
            return
        network: Any = pl_module.network
        bins, scale = {}, _scale(trainer, optimizer)
        for name, parameter in network.named_parameters():
            if self.parameters:
                bins[f"parameters/{name}"] = bins_of(parameter)
            if self.gradients and parameter.grad is not None:
                bins[f"gradients/{name}"] = bins_of(parameter.grad / scale if scale != 1 else parameter.grad)
        self.show(step, bins)


def _scale(trainer: lightning.Trainer, optimizer: Optimizer) -> float:
    """What gradients are still multiplied with: in mixed precision a fused optimizer unscales them itself, later."""
    scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
    unscales_itself = getattr(optimizer, "_step_supports_amp_scaling", False)  # as PyTorch's GradScaler asks too
    return float(scaler.get_scale()) if scaler is not None and unscales_itself else 1.0
