"""The arithmetic of the preflight check counts the parameters that the networks have."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from alexnet_lab.config.architectures import ARCHITECTURES, AlexNetConfig, ModelConfig
from alexnet_lab.networks.build import build_network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"width": 1.0, "input_size": 224, "stem_kernel_size": 11, "stem_stride": 4},
        {"towers": 1},
        {"towers": 1, "half_kernels": True},
        {"communicating": False},
        {"sixth_convolution": True},
        {"overlapping_pool": False},
        *({"without": layer} for layer in ("conv2", "conv3", "conv4", "conv5", "fc6", "fc7")),
        {"without": "conv5", "communicating": False, "sixth_convolution": True, "overlapping_pool": False},
        {"without": "fc6", "communicating": False},
    ],
)
def test_of_an_alexnet(changes: dict[str, object]) -> None:
    model = dataclasses.replace(AlexNetConfig(), **changes)
    assert model.number_of_parameters(1000) == parameters(model)


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "googlenet", "resnet18", "resnet50", "lenet5", "cifar10_net"])
def test_of_another_network(name: str) -> None:
    side = {"lenet5": 28, "cifar10_net": 24}.get(name, 224)
    model = ARCHITECTURES[name](architecture=name, name=name, input_size=side)
    assert model.number_of_parameters(1000) == parameters(model)


def parameters(model: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_network(model, 1000).parameters())
