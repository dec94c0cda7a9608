"""Two processes with a tower each compute what one process with both computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.config.architectures import AlexNetConfig
from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.networks.towers import (
    Exchange,
    divided_along,
    joined,
    keep_own_tower,
    own_part,
    summed,
    whole_of,
)
from alexnet_lab.training.recipe import make_optimizer
from several_processes import together

pytestmark = pytest.mark.slow

CLASSES, BATCH, SIDE = 5, 8, 33
VARIANTS: dict[str, dict[str, Any]] = {
    "mini": {},
    "not communicating": {"communicating": False, "dropout_place": "before"},
    "windows over both towers": {"lrn_per_tower": False, "lrn_layers": [1, 2, 5], "lrn_size": 4},
    "conv6": {"sixth_convolution": True, "dropout_place": "before", "layer_order": "paper"},
    "without conv3": {"without": "conv3", "dropout_scaling": "test"},
    "without fc6": {"without": "fc6", "lrn": False, "overlapping_pool": False, "pool_rounding": "floor"},
    "without fc7": {"without": "fc7", "communicating": False, "dropout_scaling": "test"},
}


def network_of(**options: Any) -> AlexNet:
    torch.manual_seed(1)
    config = AlexNetConfig(input_size=SIDE, width=0.0625, **options)
    config.check()
    return AlexNet(CLASSES, config).double().to(memory_format=torch.channels_last)


def batch_of(step: int, images: int = BATCH) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(step)
    pixels = 60 * torch.randn(images, 3, SIDE, SIDE, dtype=torch.double, generator=chance)
    return pixels, torch.randint(CLASSES, (images,), generator=chance)


def trained(network: nn.Module, steps: int, share: slice = slice(None), exchange: Exchange | None = None) -> Any:
    """Losses of so many steps on a share of each batch, the logits in evaluation, and the whole weights after it."""
    own: Any = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    optimizer, losses = make_optimizer(own, OptimizationConfig()), []
    for step in range(steps):
        images, labels = batch_of(step % 2, 2 * BATCH)
        torch.manual_seed(step)  # as training does, for dropout
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images[share]), labels[share])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    logits = own.eval()(batch_of(-1)[0]).detach()
    weights = {name: parameter.detach() for name, parameter in own.named_parameters()}
    if exchange is not None:
        weights = {name: whole_of(weight, divided_along(name), exchange) for name, weight in weights.items()}
    return torch.stack(losses), logits, weights


def assert_close(found: Any, wanted: Any) -> None:
    (losses, logits, weights), (one_losses, one_logits, one_weights) = found, wanted
    torch.testing.assert_close(losses, one_losses, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(logits, one_logits, rtol=1e-7, atol=1e-8)
    assert weights.keys() == one_weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, one_weights[name], rtol=0.0, atol=1e-8)


def test_every_variant_trains_as_in_one_process(tmp_path: Path) -> None:
    """With dropout: both towers together drop what one process drops."""

    def towers(rank: int) -> Any:
        found = {}
        for variant, options in VARIANTS.items():
            network, exchange = network_of(**options), Exchange(rank)
            keep_own_tower(network, exchange)
            found[variant] = trained(network, 3, exchange=exchange)
        return found

    both = together(2, towers, tmp_path / "two")
    for variant, options in VARIANTS.items():
        one = trained(network_of(**options), 3)
        for found in both:
            assert_close(found[variant], one)


@pytest.mark.parametrize("processes", [2, 4])
def test_fifty_steps_in_two_towers_and_in_two_times_two(processes: int, tmp_path: Path) -> None:
    def towers(rank: int) -> Any:
        pairs, _ = dist.new_subgroups_by_enumeration([[first, first + 1] for first in range(0, processes, 2)])
        same, _ = dist.new_subgroups_by_enumeration([list(range(tower, processes, 2)) for tower in (0, 1)])
        assert isinstance(pairs, dist.ProcessGroup)
        network, exchange = network_of(dropout=0.0), Exchange(rank % 2, pairs)
        keep_own_tower(network, exchange)
        if processes == 2:
            return trained(network, 50, exchange=exchange)
        replica, share = rank // 2, 2 * BATCH // 2
        model = nn.parallel.DistributedDataParallel(network, process_group=same, broadcast_buffers=False)
        losses, *rest = trained(model, 50, slice(replica * share, (replica + 1) * share), exchange)
        dist.all_reduce(losses)
        return losses / processes, *rest

    one = trained(network_of(dropout=0.0), 50)
    assert one[0][-1] < one[0][0]
    for found in together(processes, towers, tmp_path / "towers"):
        assert_close(found, one)


class _OwnHalf(torch.autograd.Function):
    """A tower's half of what both processes have; its gradient is again what both have."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, dimension: int, exchange: Exchange) -> Tensor:
        ctx.dimension, ctx.exchange = dimension, exchange
        return own_part(whole, dimension, exchange.tower)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return whole_of(gradient, ctx.dimension, ctx.exchange), None, None


def test_gradients_through_the_exchange(tmp_path: Path) -> None:
    """Maps that both towers see, whole or at their edge, and sums: numerically, in step in both processes."""

    def towers(rank: int) -> bool:
        exchange = Exchange(rank)

        def layers(maps: Tensor, kernels: Tensor, weights: Tensor) -> Tensor:
            half = _OwnHalf.apply(maps, 1, exchange).contiguous(memory_format=torch.channels_last)
            seen = F.conv2d(joined(half, exchange).square(), _OwnHalf.apply(kernels, 0, exchange)).tanh().flatten(1)
            return summed(F.linear(seen, _OwnHalf.apply(weights, 1, exchange)), exchange)

        torch.manual_seed(0)
        shapes = ((2, 4, 3, 3), (6, 4, 2, 2), (3, 24))
        inputs = tuple(torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes)
        return torch.autograd.gradcheck(layers, inputs)

    assert together(2, towers, tmp_path / "two") == [True, True]


def test_copies_that_are_no_copies_are_found(tmp_path: Path) -> None:
    def towers(rank: int) -> str:
        try:
            whole_of(torch.full((3,), float(rank)), divided_along("fc8.bias"), Exchange(rank))
        except UserError as error:
            return str(error)
        return ""

    for said in together(2, towers, tmp_path / "two"):
        assert said.startswith("the two towers no longer have the same biases of fc8")


def bytes_of_step(options: AlexNetConfig, batch: int, classes: int, of_a_number: int) -> int:
    """What docs/towers.md says a process sends in a training step of a network that communicates."""
    _, conv2, *_, conv5, fc6, _ = options.layer_sizes()
    side_of_conv3, side_of_fc6 = (options.map_sizes()[number] for number in (3, 5))
    both_ways = conv2 // 2 * side_of_conv3**2 + conv5 // 2 * side_of_fc6**2 + fc6 // 2
    return batch * (2 * both_ways + classes) * of_a_number


@pytest.mark.parametrize("communicating", [True, False])
def test_bytes_and_parameters_of_a_process(communicating: bool, tmp_path: Path) -> None:
    options = AlexNetConfig(input_size=SIDE, width=0.0625, communicating=communicating)

    def towers(rank: int) -> list[int]:
        network, exchange = network_of(communicating=communicating), Exchange(rank)
        keep_own_tower(network, exchange)
        optimizer = make_optimizer(network, OptimizationConfig())
        network(batch_of(0)[0]).sum().backward()
        optimizer.step()
        momentum = [state["momentum_buffer"] for state in optimizer.state.values()]
        return [exchange.bytes_sent, *(sum(each.numel() for each in kept) for kept in (network.parameters(), momentum))]

    whole = options.number_of_parameters(CLASSES)
    step = bytes_of_step(options, BATCH, CLASSES, 8) if communicating else BATCH * CLASSES * 8
    for sent, parameters, momentum in together(2, towers, tmp_path / "two"):
        assert sent == step
        assert parameters <= 0.52 * whole
        assert momentum == parameters


@pytest.mark.parametrize("communicating", [True, False])
def test_the_papers_network_is_halved(communicating: bool) -> None:
    options = AlexNetConfig(input_size=224, width=1.0, stem_kernel_size=11, stem_stride=4, communicating=communicating)
    with torch.device("meta"):
        whole = AlexNet(1000, options)
    whole.conv1.requires_grad_(False)
    for tower in (0, 1):
        own = copy.deepcopy(whole)
        keep_own_tower(own, Exchange(tower))
        parameters = sum(parameter.numel() for parameter in own.parameters())
        assert parameters <= 0.52 * options.number_of_parameters(1000)
        trained = [[(name, one.requires_grad) for name, one in net.named_parameters()] for net in (own, whole)]
        assert trained[0] == trained[1]
