"""The optimizer and its schedule (section 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from alexnet_lab.config.options import OptimizationConfig, OwnOptimizerConfig, RecipeConfig
from alexnet_lab.config.own import TARGET, is_own
from alexnet_lab.config.parts import found, make, takes
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.layers import last_layer

OF_LIGHTNING = ("interval", "monitor")  # of a schedule of one's own: when it steps, and what a plateau looks at


def make_optimizer(network: nn.Module, recipe: RecipeConfig, fused: bool = True) -> Optimizer:
    """The paper's, whose step is fused where that is asked for, or the one that the recipe names."""
    if isinstance(recipe, OwnOptimizerConfig):
        return _own_optimizer(network, recipe)
    assert isinstance(recipe, OptimizationConfig)
    return _paper_optimizer(network, recipe, fused)


def for_steps_of(recipe: RecipeConfig, images: int) -> RecipeConfig:
    """The recipe with the learning rate that its rule gives for steps of so many images, over all devices and batches.

    Source: the notes of the original program, in whose runs batches of 256 at 0.02 did as well as 128 at 0.01
    (linear); Krizhevsky 2014, section 5, on why it might be the root.
    """
    assert isinstance(recipe, (OptimizationConfig, OwnOptimizerConfig))
    if recipe.learning_rate is None or recipe.learning_rate_rule == "none":
        return recipe
    power = {"linear": 1.0, "sqrt": 0.5}[recipe.learning_rate_rule]
    return replace(recipe, learning_rate=recipe.learning_rate * (images / recipe.reference_batch_size) ** power)


def _own_optimizer(network: nn.Module, recipe: OwnOptimizerConfig) -> Optimizer:
    """Weights decay, biases do not, and learn at a rate of their own where the recipe says so.

    Raises UserError where the optimizer does not take these arguments.
    """
    groups: list[dict[str, Any]] = [{"params": []} for _ in range(4)]  # weights and biases; of earlier layers, likewise
    earlier = _is_earlier(network, recipe)
    for name, parameter in _trained(network):
        groups[2 * earlier(name) + name.endswith("bias")]["params"].append(parameter)
    given: dict[str, Any] = {}
    if "lr" in recipe.arguments and recipe.learning_rate is not None:
        raise UserError("optim.lr: is optim.learning_rate here; say one of the two")
    if recipe.learning_rate is not None:
        given["lr"] = recipe.learning_rate
    if recipe.weight_decay is not None:
        given["weight_decay"] = recipe.weight_decay
    if takes(found("optim", recipe._target_), "weight_decay"):
        groups[1]["weight_decay"] = groups[3]["weight_decay"] = 0.0
    given_groups = [group for group in groups if group["params"]]
    made = make("optim", recipe, given_groups, **given)
    if not isinstance(made, Optimizer):
        raise UserError(f"optim: {recipe._target_} gives {type(made).__name__}, not a torch.optim.Optimizer")
    kinds = [number for number, group in enumerate(groups) if group["params"]]
    for kind, group in zip(kinds, made.param_groups, strict=True):
        if kind in (1, 3):
            group["lr"] *= recipe.bias_learning_rate_factor
        if kind in (2, 3):
            group["lr"] *= recipe.earlier_layers_rate_factor
    return made


def _paper_optimizer(network: nn.Module, recipe: OptimizationConfig, fused: bool) -> SGD:
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
    if recipe.earlier_layers_rate_factor != 1.0:  # after those of the last layer, whose rate the schedule is read from
        groups += [{**group, "params": [], "lr": group["lr"] * recipe.earlier_layers_rate_factor} for group in groups]
    earlier = _is_earlier(network, recipe)
    for name, parameter in _trained(network):
        apart = earlier(name) or (_conv1_is_apart(recipe) and name.startswith("conv1."))
        groups[2 * apart + name.endswith("bias")]["params"].append(parameter)
    if recipe.decoupled_weight_decay:
        return DecoupledSGD(groups, momentum=recipe.momentum)
    return SGD(groups, momentum=recipe.momentum, fused=fused)


class DecoupledSGD(SGD):
    """SGD whose weight decay does not enter the velocity: v = m v + g, w -= rate (v + decay w) (Loshchilov 2019).

    Not fused: PyTorch's fused step decides by itself whether a step of mixed precision is left out, unseen from here.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        decays = [group["weight_decay"] for group in self.param_groups]
        for group, decay in zip(self.param_groups, decays, strict=True):
            if decay:
                torch._foreach_mul_(group["params"], 1.0 - group["lr"] * decay)
            group["weight_decay"] = 0.0
        super().step()
        for group, decay in zip(self.param_groups, decays, strict=True):
            group["weight_decay"] = decay
        return loss


def _trained(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are not frozen: a step leaves the others as they are, weight decay too."""
    return ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)


def _is_earlier(network: nn.Module, recipe: RecipeConfig) -> Callable[[str], bool]:
    """Whether a parameter, by its name, has the rate of all layers but the last."""
    last = last_layer(network)
    return lambda name: recipe.earlier_layers_rate_factor != 1.0 and name.rpartition(".")[0] != last


def _conv1_is_apart(recipe: OptimizationConfig) -> bool:
    return bool(recipe.conv1_milestones) or recipe.freeze_conv1_at < 1.0


def apply_group_lr_overrides(optimizer: Optimizer, recipe: RecipeConfig, step: int, steps: int) -> None:
    """Set the rates that do not follow the schedule alone, before optimizer step `step` (from 0) of `steps`.

    They are derived from the weights' (the first group's), which the schedule sets, so that nothing has to be
    remembered when a run is continued.
    Source: the notes of the original program's run 145, and the rates that its parameter file ends with.
    """
    if not isinstance(recipe, OptimizationConfig):
        return
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


def make_schedules(optimizer: Optimizer, recipe: RecipeConfig, steps: int) -> list[LRScheduler]:
    """What sets the learning rate over a run of `steps` optimizer steps; nothing where it stays constant.

    All but a plateau's schedule step with the optimizer; that one steps with the epochs.
    """
    factor, warmup_steps = 1.0 / recipe.divisor, round(recipe.warmup * steps)
    if recipe.schedule in ("linear", "cosine"):
        return [LambdaLR(optimizer, partial(share_of_rate, recipe.schedule, warmup_steps, steps))]
    schedules: list[LRScheduler] = []
    if is_own(recipe.schedule):
        own = {key: value for key, value in recipe.schedule.items() if key not in OF_LIGHTNING}
        made = make("optim.schedule", own, optimizer)
        if not isinstance(made, LRScheduler):
            raise UserError(f"optim.schedule: {own[TARGET]} gives {type(made).__name__}, not a schedule of torch.optim")
        schedules.append(made)
    elif recipe.schedule == "milestones":
        schedules.append(
            MultiStepLR(optimizer, [round(fraction * steps) for fraction in recipe.milestones], gamma=factor)
        )
    elif recipe.schedule == "plateau":
        lowest = [group["lr"] * factor**recipe.divisions for group in optimizer.param_groups]
        # A rate at its floor is "reduced" by nothing: that ends the divisions after the stated number.
        schedules.append(
            # eps=0: by default PyTorch passes over divisions that change a rate by less than 1e-8.
            ReduceLROnPlateau(
                optimizer, factor=factor, patience=recipe.plateau_patience, min_lr=lowest, threshold=0.0, eps=0.0
            )
        )
    if warmup_steps:
        # It multiplies what the others set, so that a division in the midst of it is kept.
        schedules.append(LinearLR(optimizer, 1.0 / (warmup_steps + 1), total_iters=warmup_steps))
    return schedules


def share_of_rate(schedule: str, warmup_steps: int, steps: int, step: int) -> float:
    """The part of the learning rate, in (0, 1], that optimizer step `step` (from 0) of `steps` takes."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    left = (steps - step) / (steps - warmup_steps) if steps > warmup_steps else 0.0
    return left if schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)


def for_lightning(optimizer: Optimizer, schedules: list[LRScheduler], recipe: RecipeConfig) -> Any:
    """The optimizer and its schedules in the form that LightningModule.configure_optimizers returns."""
    own = recipe.schedule if is_own(recipe.schedule) else {}
    return [optimizer], [
        {"scheduler": schedule, "interval": "epoch", "monitor": own.get("monitor", "val_top1_error")}
        if isinstance(schedule, ReduceLROnPlateau)
        else {"scheduler": schedule, "interval": own.get("interval", "step") if own and number == 0 else "step"}
        for number, schedule in enumerate(schedules)
    ]


def check_recipe(recipe: RecipeConfig, epochs_between: int) -> None:
    """Raise UserError where an optimizer or a schedule of one's own cannot be made, or would not be stepped as it is
    meant. epochs_between: from one validation to the next.
    """
    if not is_own(recipe) and not is_own(recipe.schedule):
        return
    interval = recipe.schedule.get("interval", "step") if is_own(recipe.schedule) else "step"
    if interval not in ("step", "epoch"):
        raise UserError(f"optim.schedule.interval={interval}: must be one of step, epoch")
    schedules = make_schedules(make_optimizer(nn.Linear(2, 2), recipe), recipe, 1000)
    if is_own(recipe.schedule) and isinstance(schedules[0], ReduceLROnPlateau) and epochs_between > 1:
        raise UserError(
            f"optim.validations={recipe.validations}: ReduceLROnPlateau needs a validation after each epoch; use "
            "optim.validations=null"
        )
