"""The recipe of section 5: momentum, decay on weights alone, a bias rate of its own, divisions by ten."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from alexnet_lab.config import OptimizationConfig
from alexnet_lab.training.recipe import make_optimizer, make_schedule


def rates(recipe: OptimizationConfig, steps: int) -> list[float]:
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    schedule, seen = make_schedule(optimizer, recipe, steps), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return seen


def test_a_step_is_the_papers_update() -> None:
    """v = 0.9 v - lr (gradient + 0.0005 w); w += v, the biases at twice the rate and without decay."""
    layer = nn.Linear(3, 2).double()
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = make_optimizer(layer, OptimizationConfig(learning_rate=0.01))
    velocity, bias_velocity = torch.zeros_like(weight), torch.zeros_like(bias)
    for step in range(5):
        x = torch.arange(3.0).double()[None] + step
        optimizer.zero_grad()
        layer(x).square().sum().backward()
        velocity = 0.9 * velocity - 0.01 * (layer.weight.grad + 0.0005 * weight)
        bias_velocity = 0.9 * bias_velocity - 0.02 * layer.bias.grad
        weight, bias = weight + velocity, bias + bias_velocity
        optimizer.step()
    assert torch.allclose(layer.weight, weight, rtol=1e-12)
    assert torch.allclose(layer.bias, bias, rtol=1e-12)


def test_milestones_of_the_original_fall_on_its_epochs() -> None:
    steps_an_epoch = 10
    recipe = OptimizationConfig(milestones=[0.27472527, 0.56043956, 0.86813187])
    seen = rates(recipe, 91 * steps_an_epoch)
    changes = [step / steps_an_epoch for step in range(1, len(seen)) if seen[step] != seen[step - 1]]
    assert changes == [25, 51, 79]
    assert seen[-1] == pytest.approx(0.01 / 1000)


def test_a_plateau_divides_three_times_and_no_more() -> None:
    recipe = OptimizationConfig(schedule="plateau", plateau_patience=2, divisions=3)
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    schedule, seen = make_schedule(optimizer, recipe, 100), []
    for error in [0.9, 0.8, 0.7, *[0.7] * 30]:
        schedule.step(error)
        seen.append(round(optimizer.param_groups[0]["lr"], 9))
    assert list(dict.fromkeys(seen)) == [0.01, 0.001, 0.0001, 0.00001]
    assert seen[4] == 0.01  # two epochs without a better one are borne, the third divides
    assert seen[5] == 0.001


def test_constant_stays() -> None:
    assert set(rates(OptimizationConfig(schedule="constant"), 10)) == {0.01}
