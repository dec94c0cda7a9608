"""The start of the CIFAR-10 networks, as the layer files of their program state it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from alexnet_lab.networks.locally_connected import LocallyConnected2d


@torch.no_grad()
def initialize_normal(network: nn.Module, deviations: Sequence[float]) -> None:
    """Weights from N(0, deviation^2), a deviation for each layer in order; biases 0. ValueError for another number."""
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear, LocallyConnected2d))]
    for layer, deviation in zip(layers, deviations, strict=True):
        nn.init.normal_(layer.weight, 0.0, deviation)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
