"""The network is AlexNet: its sizes, its towers, its variants, its start."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alexnet_lab.config.geometry import feature_map_sizes, stem_padding
from alexnet_lab.networks.spatial_norm import SpatialNorm
from networks.made import alexnet

MINI = {"width": 0.25, "input_size": 48, "stem_kernel_size": 5, "stem_stride": 2}
VARIANTS = {
    "base": {},
    "one tower, half the kernels": {"towers": 1, "half_kernels": True},
    "no normalization": {"lrn": False},
    "non-overlapping pooling": {"overlapping_pool": False},
    "towers never communicate": {"communicating": False},
    "non-overlapping pooling, no overhanging windows": {"overlapping_pool": False, "pool_rounding": "floor"},
}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 60_965_224),
        ({"towers": 1}, 62_378_344),
        ({"towers": 1, "half_kernels": True}, 59_798_312),
        ({"lrn": False}, 60_965_224),
        ({"overlapping_pool": False}, 60_965_224),
    ],
)
def test_parameters_at_full_size(options: dict[str, object], count: int) -> None:
    with torch.device("meta"):
        assert parameters(alexnet(**options)) == count


def test_map_sizes_of_the_original_program() -> None:
    assert feature_map_sizes(224, 11, 4, overlapping_pool=True) == (55, 27, 27, 13, 13, 6)
    assert feature_map_sizes(224, 11, 4, overlapping_pool=False) == (55, 28, 26, 13, 11, 6)
    assert stem_padding(224, 11, 4) == 3
    assert feature_map_sizes(48, 5, 2, overlapping_pool=True) == (23, 11, 11, 5, 5, 2)
    assert feature_map_sizes(48, 5, 2, overlapping_pool=False) == (23, 12, 10, 5, 3, 2)


@pytest.mark.parametrize(("size", "maps"), [((224, 11, 4), (55, 27, 27, 13, 13, 6)), ((33, 5, 2), (15, 7, 7, 3, 3, 1))])
def test_without_overhanging_windows_both_poolings_give_the_same_maps(
    size: tuple[int, ...], maps: tuple[int, ...]
) -> None:
    """Section 3.4: non-overlapping pooling that "produces output of equivalent dimensions"."""
    for overlapping in (True, False):
        assert feature_map_sizes(*size, overlapping_pool=overlapping, pool_rounding="floor") == maps


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_layers_have_the_sizes_that_the_geometry_says(options: dict[str, object]) -> None:
    network, sizes = alexnet(10, **MINI, **options), {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda module, args, out, name=name: sizes.update({name: out.shape[-1]}))
    network(torch.zeros(1, 3, 48, 48))

    said = feature_map_sizes(
        *(48, 5, 2, bool(options.get("overlapping_pool", True))),
        pool_rounding=str(options.get("pool_rounding", "ceiling")),
    )
    names = ("conv1.conv", "conv1.pool", "conv2.conv", "conv2.pool", "conv5.conv", "conv5.pool")
    assert tuple(sizes[name] for name in names) == said


@pytest.mark.parametrize("order", ["original", "paper"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_every_combination_of_variants_trains(order: str, activation: str) -> None:
    for towers, half, lrn, spatial, overlapping, communicating in product(
        (1, 2), (True, False), (True, False), (True, False), (True, False), (True, False)
    ):
        if (half and towers == 2) or (not communicating and (towers == 1 or half)):
            continue  # refused by the preflight check
        network = alexnet(
            6, **MINI, towers=towers, half_kernels=half, lrn=lrn, spatial_normalization=spatial,
            overlapping_pool=overlapping, communicating=communicating, layer_order=order, activation=activation,
        )  # fmt: skip
        F.cross_entropy(network(torch.randn(2, 3, 48, 48)), torch.tensor([0, 5])).backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_towers_meet_where_the_paper_says() -> None:
    """What the first tower's images of conv2 depend on, and what those of conv3 do."""
    for communicating, meets in ((True, True), (False, False)):
        # Windows over all kernels, as Caffe has them, do not connect towers that must not communicate.
        network = alexnet(10, **MINI, communicating=communicating, lrn_per_tower=communicating, dropout=0.0)
        x = torch.randn(2, 3, 48, 48)
        first = network.conv1(network.stem_edge(x))
        half = first.shape[1] // 2
        other = first.clone()
        other[:, half:] += torch.randn_like(other[:, half:])  # change the second tower alone

        changed = [network.conv2(maps) for maps in (first, other)]
        assert torch.equal(*(maps[:, : maps.shape[1] // 2] for maps in changed))
        after = [network.conv3(maps) for maps in changed]
        assert torch.equal(*(maps[:, : maps.shape[1] // 2] for maps in after)) != meets
        hidden = [network.fc6(network.conv5(network.conv4(maps)).flatten(1)) for maps in after]
        assert torch.equal(*(units[:, : units.shape[1] // 2] for units in hidden)) != meets


def test_spatial_normalization_against_a_plain_loop() -> None:
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64) * 30
    expected = np.empty(x.shape)
    for index in np.ndindex(*x.shape):
        n, c, row, column = index
        window = x[n, c, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        expected[index] = float(x[index]) / (1 + 1e-3 / 25 * float((window**2).sum())) ** 0.75
    assert torch.allclose(SpatialNorm()(x), torch.from_numpy(expected), rtol=1e-12)


def test_the_initial_weights_are_as_asked() -> None:
    torch.manual_seed(0)
    std, bias = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08), (0, 1, 2, 3, 4, 5, 6, 7)
    network = alexnet(500, **MINI, init_std=std, init_bias=bias)
    for layer, deviation, constant in zip(network.weighted_layers(), std, bias, strict=True):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.1)
        assert torch.all(layer.bias == constant)
        assert math.isclose(layer.weight.mean().item(), 0, abs_tol=0.1 * deviation)
