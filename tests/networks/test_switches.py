"""Each switch does what it says, alone and together with the others."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alexnet_lab.networks.alexnet import ACTIVATIONS, LAYER_ORDERS
from networks.made import alexnet

MINI = {"width": 0.25, "input_size": 48, "stem_kernel_size": 5, "stem_stride": 2}
LEFT_OUT = ("none", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
HE = {"init_std": [0.1633, 0.0816, 0.0589, 0.0680, 0.0680, 0.06, 0.05, 0.05], "pixel_scale": 1 / 64}


def layers(network: nn.Module) -> list[str]:
    """Names of the modules that compute something, without the places that are left empty."""
    return [
        name
        for name, module in network.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Sequential)
    ]


def trains(network: nn.Module) -> bool:
    """Every parameter gets a finite gradient, and not all of it zero."""
    side = 48
    F.cross_entropy(network(60 * torch.randn(2, 3, side, side)), torch.tensor([0, 5])).backward()
    return all(
        p.grad is not None and bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in network.parameters()
    )


@pytest.mark.parametrize("without", LEFT_OUT)
def test_a_layer_left_out_is_gone_and_the_others_stay(without: str) -> None:
    for towers, overlapping, sixth in product((1, 2), (True, False), (True, False)):
        network = alexnet(
            6, **MINI, **HE, towers=towers, overlapping_pool=overlapping, sixth_convolution=sixth, without=without
        )
        assert not [name for name in layers(network) if name.startswith(without) and "pool" not in name]
        assert len(network.weighted_layers()) == 8 + sixth - (without != "none")
        assert [name for name in layers(network) if name.endswith("pool")] == ["conv1.pool", "conv2.pool", "conv5.pool"]
        assert trains(network)


def test_without_a_middle_layer_fc6_keeps_its_size() -> None:
    with torch.device("meta"):
        full = alexnet()
        for without in ("conv2", "conv3", "conv4"):
            assert alexnet(without=without).fc6.linear.weight.shape == full.fc6.linear.weight.shape


def test_the_sixth_convolution_sees_both_towers_and_keeps_the_maps() -> None:
    with torch.device("meta"):
        network, plain = alexnet(sixth_convolution=True), alexnet()
    assert network.conv6.conv.weight.shape == (256, 256, 3, 3)
    assert network.fc6.linear.weight.shape == plain.fc6.linear.weight.shape
    small = alexnet(6, **MINI, sixth_convolution=True)
    assert float(small.conv6.conv.weight.detach().std()) == pytest.approx(0.03, rel=0.05)
    assert bool((small.conv6.conv.bias == 1).all())


@pytest.mark.parametrize("chosen", [[], [1], [2], [1, 2], [1, 2, 3, 4, 5]], ids=str)
@pytest.mark.parametrize("order", LAYER_ORDERS)
def test_normalization_follows_the_layers_that_are_named(chosen: list[int], order: str) -> None:
    names = layers(alexnet(6, **MINI, lrn_layers=chosen, layer_order=order))
    assert [name for name in names if name.endswith(".lrn")] == [f"conv{number}.lrn" for number in chosen]
    assert ("conv2.spatial" in names) == (2 in chosen)


@pytest.mark.parametrize(
    ("order", "conv1", "conv5"),
    [
        ("original", ["conv", "lrn", "pool", "activation"], ["conv", "pool", "activation"]),
        ("paper", ["conv", "activation", "lrn", "pool"], ["conv", "activation", "pool"]),
        ("caffenet", ["conv", "activation", "pool", "lrn"], ["conv", "activation", "pool"]),
    ],
)
def test_layer_orders(order: str, conv1: list[str], conv5: list[str]) -> None:
    network = alexnet(6, **MINI, layer_order=order)
    assert [name for name, _ in network.conv1.named_children()] == conv1
    assert [name for name, _ in network.conv5.named_children()] == conv5


def test_alphas_conventions_differ_by_the_window() -> None:
    window, element = (
        alexnet(6, **MINI, lrn_size=5, lrn_alpha=1e-4, lrn_alpha_convention=word).conv1.lrn.constants.alpha
        for word in ("per_window", "per_element")
    )
    assert (window, element) == pytest.approx((1e-4, 5e-4))


def test_windows_stay_in_their_tower_unless_asked() -> None:
    assert alexnet(6, **MINI).conv1.lrn.constants.groups == 2
    assert alexnet(6, **MINI, lrn_per_tower=False).conv1.lrn.constants.groups == 1
    # Towers that never communicate do not by way of a window either.
    assert alexnet(6, **MINI, lrn_per_tower=False, communicating=False).conv1.lrn.constants.groups == 2


@pytest.mark.parametrize(
    ("word", "function"),
    [
        ("relu", lambda x: max(x, 0)),
        ("tanh", math.tanh),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + math.exp(-x))),
    ],
)
def test_activations(word: str, function) -> None:
    for x in (-2.0, -0.1, 0.3, 4.0):
        assert float(ACTIVATIONS[word]()(torch.tensor(x))) == pytest.approx(function(x), rel=1e-5)
    assert trains(alexnet(6, **MINI, **HE, activation=word))


@pytest.mark.parametrize(
    ("padding", "size", "first"), [("ceiling", 224, 55), ("none", 227, 55), ("none", 224, 54), ("2", 224, 55)]
)
def test_padding_of_the_image(padding: str, size: int, first: int) -> None:
    network = alexnet(6, width=0.125, input_size=size, stem_padding=padding)
    x = torch.zeros(1, 3, size, size)
    assert network.conv1.conv(network.stem_edge(x)).shape[-1] == first
    assert network(x).shape == (1, 6)


def test_the_overhanging_window_sees_zeros_at_the_right_and_bottom() -> None:
    network = alexnet(6, width=0.125, input_size=224)
    edge = network.stem_edge(torch.ones(1, 3, 224, 224))
    assert edge.shape[-2:] == (227, 227)
    assert bool((edge[..., 224:, :] == 0).all() and (edge[..., 224:] == 0).all() and (edge[..., :224, :224] == 1).all())


def test_dropout_before_and_after() -> None:
    for place, names in {
        "after": ["linear", "activation", "dropout"], "before": ["dropout", "linear", "activation"]
    }.items():  # fmt: skip
        network = alexnet(6, **MINI, dropout_place=place, dropout=0.3)
        assert [name for name, _ in network.fc6.named_children()] == names
        assert network.fc6.dropout.p == 0.3


def test_dropout_scaled_in_training_or_at_test() -> None:
    """The same units are dropped; in evaluation both expect of the next layer what they gave it in training."""
    x = torch.randn(4, 50_000)
    for rate in (0.0, 0.3, 0.5):
        scaled_at_test = alexnet(6, **MINI, dropout=rate, dropout_scaling="test").fc6.dropout
        scaled_in_training = alexnet(6, **MINI, dropout=rate, dropout_scaling="training").fc6.dropout
        torch.manual_seed(0)
        y = scaled_at_test(x)
        assert set((y / x).unique().tolist()) == ({0.0, 1.0} if rate else {1.0})
        assert float((y == 0).double().mean()) == pytest.approx(rate, abs=0.01)
        torch.manual_seed(0)
        assert torch.allclose(scaled_in_training(x) * (1 - rate), y)
        assert torch.equal(scaled_at_test.eval()(x), x * (1 - rate))
        assert torch.equal(scaled_in_training.eval()(x), x)


def test_switches_combine() -> None:
    """Every pair of values of any two switches occurs in one of these networks, drawn from all combinations."""
    values = {
        "towers": (1, 2),
        "communicating": (True, False),
        "without": LEFT_OUT,
        "sixth_convolution": (True, False),
        "lrn_layers": ([], [1], [2, 3]),
        "lrn_per_tower": (True, False),
        "overlapping_pool": (True, False),
        "layer_order": tuple(LAYER_ORDERS),
        "activation": tuple(ACTIVATIONS),
        "dropout_place": ("after", "before"),
        "dropout_scaling": ("test", "training"),
        "stem_padding": ("ceiling", "none", "2"),
        "initialization": ("normal", "glorot", "pytorch"),
    }
    generator, seen = torch.Generator().manual_seed(0), set()
    for _ in range(150):
        drawn = {
            key: choice[int(torch.randint(len(choice), (), generator=generator))] for key, choice in values.items()
        }
        drawn["communicating"] |= drawn["towers"] == 1  # refused by the preflight check
        assert alexnet(6, **MINI, **HE, **drawn)(torch.randn(2, 3, 48, 48)).isfinite().all()
        pairs = [(key, str(value)) for key, value in drawn.items()]
        seen |= {frozenset(pair) for pair in product(pairs, pairs) if pair[0] != pair[1]}
    possible = sum(len(values[a]) * len(values[b]) for i, a in enumerate(values) for b in list(values)[i + 1 :])
    assert len(seen) == possible - 1  # one tower that does not communicate
