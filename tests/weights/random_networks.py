"""Networks whose every layer matters to the logits, as a trained network's does."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from alexnet_lab.networks.build import build_network
from alexnet_lab.weights.external_weights import preset
from alexnet_lab.weights.trained_network import TrainedNetwork


@torch.no_grad()
def scatter(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights that keep the signal's variance from layer to layer, for logits about 1; biases a little off zero."""
    generator = torch.Generator().manual_seed(seed)
    weighted = [module for module in network.modules() if getattr(module, "weight", torch.empty(0)).dim() > 1]
    for module in weighted:
        gain = 0.3 if module is weighted[-1] else 2.0**0.5
        module.weight.normal_(0.0, gain * module.weight[0].numel() ** -0.5, generator=generator)
        if module.bias is not None:
            module.bias.normal_(0.0, 0.1, generator=generator)
    return network.eval()


def trained(name: str, num_classes: int = 7, **options: Any) -> TrainedNetwork:
    """The preset's network, with other options where they are given."""
    model = dataclasses.replace(preset(name), **options)
    return TrainedNetwork(scatter(build_network(model, num_classes)), model, num_classes)


def pixels(side: int, number: int = 3, seed: int = 1) -> Tensor:
    """Images of two scales of noise, RGB on 0..255: float32 (number, 3, side, side)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, 8, 8, generator=generator)
    fine = torch.rand(number, 3, side, side, generator=generator)
    return 255 * (0.7 * nn.functional.interpolate(coarse, (side, side), mode="bilinear") + 0.3 * fine)


@torch.no_grad()
def logits(network: nn.Module, x: Tensor) -> Tensor:
    return network(x)
