"""The recipe of section 5: momentum, decay on weights alone, a bias rate of its own, divisions by ten."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from continued_runs import own_signals, tiny  # noqa: F401
from torch import nn

from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.training.recipe import (
    apply_group_lr_overrides,
    for_steps_of,
    make_optimizer,
    make_schedules,
    share_of_rate,
)
from alexnet_lab.training.run import train
from config.test_config import composed, options
from networks.made import alexnet


def rates(recipe: OptimizationConfig, steps: int) -> list[float]:
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    schedules, seen = make_schedules(optimizer, recipe, steps), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for schedule in schedules:
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


def test_decoupled_decay_does_not_enter_the_velocity() -> None:
    """v = 0.9 v + gradient; w -= lr (v + decay w), with the gradient of the weights before the step."""
    layer = nn.Linear(3, 2).double()
    weight, velocity = layer.weight.detach().clone(), torch.zeros(2, 3, dtype=torch.float64)
    recipe = OptimizationConfig(learning_rate=0.01, weight_decay=0.1, decoupled_weight_decay=True)
    optimizer = make_optimizer(layer, recipe)
    for step in range(5):
        x = torch.arange(3.0).double()[None] + step

        def closure(x: torch.Tensor = x) -> torch.Tensor:
            optimizer.zero_grad()
            loss = layer(x).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        velocity = 0.9 * velocity + layer.weight.grad
        weight = weight - 0.01 * (velocity + 0.1 * weight)
    assert torch.allclose(layer.weight, weight, rtol=1e-12)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


def test_a_rule_for_other_batches() -> None:
    """The original program's notes have 0.02 for batches of 256 where 128 have 0.01; by roots it takes 512."""
    wanted = {("linear", 256): 0.02, ("sqrt", 512): 0.02, ("linear", 64): 0.005, ("none", 256): 0.01}
    for (rule, images), rate in wanted.items():
        recipe = for_steps_of(composed("optim=original", f"optim.learning_rate_rule={rule}").optim, images)
        groups = make_optimizer(nn.Linear(2, 2), recipe).param_groups
        assert [group["lr"] for group in groups if group["params"]] == pytest.approx([rate, 2 * rate])


def test_a_run_follows_its_rule_over_all_batches_of_a_step(store_root: Path, tmp_path: Path) -> None:
    plain = ("optim.schedule=constant", "optim.warmup=0", "trainer.max_steps=1", "trainer.accumulate_grad_batches=2")
    rule = ("optim.learning_rate_rule=linear", "optim.reference_batch_size=32", "optim.learning_rate=0.01")
    train(tiny(store_root, *plain, *rule), tmp_path, [])  # batches of 64
    with (tmp_path / "metrics.csv").open() as file:
        assert float(next(csv.DictReader(file))["learning_rate"]) == pytest.approx(0.04)


@pytest.mark.parametrize("name", options("optim"))
def test_a_presets_rate_is_meant_for_its_batches(name: str) -> None:
    recipe = composed(f"optim={name}", "data.num_classes=20").optim
    assert recipe.reference_batch_size == recipe.batch_size


def test_milestones_of_the_original_fall_on_its_epochs() -> None:
    steps_per_epoch = 10
    recipe = OptimizationConfig(milestones=[0.27472527, 0.56043956, 0.86813187])
    seen = rates(recipe, 91 * steps_per_epoch)
    changes = [step / steps_per_epoch for step in range(1, len(seen)) if seen[step] != seen[step - 1]]
    assert changes == [25, 51, 79]
    assert seen[-1] == pytest.approx(0.01 / 1000)


def rates_of_run_145(steps_per_epoch: int) -> dict[tuple[str, str], list[float]]:
    """The four rates, of conv1 and of the rest, weights and biases, at the start of each epoch."""
    recipe = composed("model=alexnet").optim
    network = nn.ModuleDict({"conv1": nn.Linear(1, 1), "conv2": nn.Linear(1, 1)})
    optimizer, steps = make_optimizer(network, recipe), recipe.epochs * steps_per_epoch
    [schedule] = make_schedules(optimizer, recipe, steps)
    seen: dict[tuple[str, str], list[float]] = {}
    for step in range(steps):
        apply_group_lr_overrides(optimizer, recipe, step, steps)
        if step % steps_per_epoch == 0:
            for group in optimizer.param_groups:
                key = ("conv1" if group["conv1"] else "others", "biases" if group["bias"] else "weights")
                seen.setdefault(key, []).append(group["lr"])
        optimizer.step()
        schedule.step()
    return seen


def changes(values: list[float]) -> dict[int, float]:
    """Epoch: the rate that begins there."""
    return {epoch: values[epoch] for epoch in range(len(values)) if epoch == 0 or values[epoch] != values[epoch - 1]}


def test_the_events_of_run_145() -> None:
    """Its notes: 25, 51 and 79 divide; 67 divides conv1's once more; 72 freezes conv1; biases were never divided."""
    for steps_per_epoch in (1, 10, 37):
        seen = rates_of_run_145(steps_per_epoch)
        expected = {
            ("others", "weights"): {0: 0.01, 25: 1e-3, 51: 1e-4, 79: 1e-5},
            ("others", "biases"): {0: 0.02},
            ("conv1", "weights"): {0: 0.01, 25: 1e-3, 51: 1e-4, 67: 1e-5, 72: 0.0},
            ("conv1", "biases"): {0: 0.02, 72: 0.0},
        }
        for key, values in seen.items():
            assert changes(values) == pytest.approx(expected[key]), key


def test_a_frozen_conv1_does_not_move() -> None:
    torch.manual_seed(0)
    network = alexnet(7, width=0.125, input_size=48, stem_kernel_size=5, stem_stride=2, init_std=[0.1] * 8)
    recipe = OptimizationConfig(freeze_conv1_at=0.5, learning_rate=1e-3)
    optimizer = make_optimizer(network, recipe)
    for step in range(4):
        before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        apply_group_lr_overrides(optimizer, recipe, step, 4)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(torch.randn(4, 3, 48, 48)), torch.arange(4)).backward()
        optimizer.step()
        still = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
        assert still == ({"conv1.conv.weight", "conv1.conv.bias"} if step >= 2 else set())


def test_a_plateaus_rate_too_is_divided_for_conv1() -> None:
    recipe = OptimizationConfig(schedule="plateau", plateau_patience=0, conv1_milestones=[0.5])
    optimizer = make_optimizer(nn.ModuleDict({"conv1": nn.Linear(1, 1), "conv2": nn.Linear(1, 1)}), recipe)
    [schedule] = make_schedules(optimizer, recipe, 100)
    for error in (0.9, 0.9):
        schedule.step(error)
    apply_group_lr_overrides(optimizer, recipe, 50, 100)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 2e-3, 1e-4, 2e-4])


def test_a_plateau_divides_three_times_and_no_more() -> None:
    recipe = OptimizationConfig(schedule="plateau", plateau_patience=2, divisions=3)
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    [schedule], seen = make_schedules(optimizer, recipe, 100), []
    for error in [0.9, 0.8, 0.7, *[0.7] * 30]:
        schedule.step(error)
        seen.append(round(optimizer.param_groups[0]["lr"], 9))
    assert list(dict.fromkeys(seen)) == [0.01, 0.001, 0.0001, 0.00001]
    assert seen[4] == 0.01  # two epochs without a better one are borne, the third divides
    assert seen[5] == 0.001


@pytest.mark.parametrize(("rate", "divisions"), [(1e-6, 3), (0.01, 8)])
def test_a_plateau_divides_small_rates_too(rate: float, divisions: int) -> None:
    recipe = OptimizationConfig(learning_rate=rate, schedule="plateau", plateau_patience=0, divisions=divisions)
    optimizer = make_optimizer(nn.Linear(2, 2), recipe)
    [schedule] = make_schedules(optimizer, recipe, 100)
    for error in [0.7] * 30:
        schedule.step(error)
    weights, biases = (group["lr"] for group in optimizer.param_groups)
    assert weights == pytest.approx(rate / 10**divisions)
    assert biases == pytest.approx(2 * weights)


def test_constant_stays() -> None:
    assert set(rates(OptimizationConfig(schedule="constant"), 10)) == {0.01}


def test_linear_and_cosine_rise_from_zero_and_fall_to_zero() -> None:
    for name, in_the_middle in (("linear", 0.5), ("cosine", 0.5)):
        seen = rates(OptimizationConfig(schedule=name, warmup=0.1, learning_rate=1.0), 1010)
        assert seen[:101] == pytest.approx([(step + 1) / 102 for step in range(101)])
        assert seen[101] == 1.0
        assert seen[101 + 909 // 2] == pytest.approx(in_the_middle, abs=1e-3)
        assert 0.0 < seen[-1] < 2e-3
        assert all(later < earlier for earlier, later in pairwise(seen[101:]))
    assert share_of_rate("cosine", 0, 8, 2) == pytest.approx((1 + 2**0.5 / 2) / 2)


def test_warmup_goes_with_every_schedule() -> None:
    rising = [(step + 1) / 21 for step in range(20)]
    constant = rates(OptimizationConfig(schedule="constant", warmup=0.2, learning_rate=1.0), 100)
    assert constant == pytest.approx([*rising, *[1.0] * 80])
    divided = rates(OptimizationConfig(milestones=[0.1, 0.5], warmup=0.2, learning_rate=1.0), 100)
    early = [rate / 10 ** (step >= 10) for step, rate in enumerate(rising)]
    assert divided == pytest.approx([*early, *[0.1] * 30, *[0.01] * 50])
    optimizer = make_optimizer(nn.Linear(2, 2), OptimizationConfig(learning_rate=1.0))
    recipe = OptimizationConfig(schedule="plateau", warmup=0.5, plateau_patience=0, divisions=2, learning_rate=1.0)
    plateau, warmup = make_schedules(optimizer, recipe, 20)
    for step in range(20):
        optimizer.step()
        warmup.step()
        if step in (4, 8, 12, 16):
            plateau.step(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.02])


def test_a_run_ends_with_the_rates_of_run_145(program, small, tmp_path: Path) -> None:
    answer = program("train.py", *small, "optim=original", "optim.batch_size=32", "sweep=events")
    assert answer.returncode == 0, answer.stderr
    [folder] = (tmp_path / "runs" / "events").iterdir()
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    # Weights, biases, conv1's weights, conv1's biases: what the original's parameter file says in the end.
    assert [group["lr"] for group in groups] == pytest.approx([1e-5, 0.02, 0.0, 0.0])
