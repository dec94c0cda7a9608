"""How much of conv1's kernels is colour, tower by tower (section 6.1, figure 3)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from alexnet_lab.core.errors import UserError

RANDOM_HALVES = 2000


def colour_share(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) in [0, 1], of kernels (K, 3, S, S): the part of the sum of squares that is not grey, 0 for a grey kernel."""
    grey = kernels.mean(1, keepdims=True)
    energy = (kernels**2).sum((1, 2, 3))
    return ((kernels - grey) ** 2).sum((1, 2, 3)) / np.maximum(energy, np.finfo(float).tiny)


def colour_numbers(network: nn.Module) -> dict[str, float]:
    """In points of colour share: each tower's mean, their gap, that of random halves of the same kernels (their mean),
    the former minus the latter, and the part of the random halves with as large a gap.

    Two towers that do not specialize have a gap too, as large as random halves have. Raises UserError: no two towers.
    """
    weight, towers = _conv1(network)
    if towers != 2:
        raise UserError("the colours of kernels are compared between two towers; choose a network with model.towers=2")
    share = 100 * colour_share(weight)
    half = len(share) // 2
    means = share[:half].mean(), share[half:].mean()
    gap = abs(means[0] - means[1])
    draw = np.random.default_rng(0)
    shuffled = np.array([draw.permutation(share) for _ in range(RANDOM_HALVES)])
    random = np.abs(shuffled[:, :half].mean(1) - shuffled[:, half:].mean(1))
    return {
        "tower_1": float(means[0]),
        "tower_2": float(means[1]),
        "gap": float(gap),
        "gap_of_random_halves": float(random.mean()),
        "gap_above_random": float(gap - random.mean()),
        "p": float((1 + (random >= gap).sum()) / (1 + RANDOM_HALVES)),
    }


def conv1_kernels(network: nn.Module) -> tuple[NDArray[np.float32], int]:
    """conv1's kernels (K, 3, S, S), and in how many towers they are."""
    weight, towers = _conv1(network)
    return weight.astype(np.float32), towers


@torch.no_grad()
def _conv1(network: nn.Module) -> tuple[NDArray[np.float64], int]:
    layers = [
        [layer for layer in getattr(network, name, nn.Module()).modules() if isinstance(layer, nn.Conv2d)]
        for name in ("conv1", "conv2")
    ]
    if not all(layers):
        raise UserError("the network has no conv1 and conv2; choose one of AlexNet's kind")
    return layers[0][0].weight.double().cpu().numpy(), layers[1][0].groups
