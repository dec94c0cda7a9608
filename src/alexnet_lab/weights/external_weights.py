"""What every other program's AlexNet needs to become one of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor

from alexnet_lab.config import schema
from alexnet_lab.config.architectures import ModelConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import CONF
from alexnet_lab.weights.trained_network import TrainedNetwork, assemble, check_shape, checked_model, shapes_alone


@dataclass(frozen=True)
class ExternalWeights:
    """Weights and biases of conv1 to fc8 as another program keeps them, and what it feeds them.

    tensors: (name in the file, tensor), each layer's weights before its biases.
    That program's input is (RGB on 0..255 - pixel_mean) / pixel_deviation.
    options: what the file itself says about the network, over the preset of conf/model/.
    """

    preset: str
    tensors: Sequence[tuple[str, Tensor]]
    pixel_mean: tuple[float, float, float]
    pixel_deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    options: Mapping[str, Any] = field(default_factory=dict)


def preset(name: str) -> ModelConfig:
    """The model group as conf/model/<name>.yaml composes it."""
    schema.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = OmegaConf.to_object(compose("train", [f"model={name}"]).model)
    assert isinstance(model, ModelConfig)
    return model


def adopt(external: ExternalWeights, file: Path) -> TrainedNetwork:
    """The same function as one of our networks, whose input is not divided by the pixels' deviation.

    Raises UserError for tensors of other shapes or types, and for numbers that are not finite.
    """
    model = checked_model(dataclasses.asdict(preset(external.preset)) | dict(external.options), file)
    last_name, last = external.tensors[-1]
    if last.dim() != 1 or not len(last):
        raise UserError(f"{file}: {last_name} has shape {tuple(last.shape)}, and must hold one number a class")
    expected = shapes_alone(model, len(last), file).state_dict()
    tensors, names = {}, {}
    for own, (name, tensor) in zip(expected, external.tensors, strict=True):
        tensors[own], names[own] = tensor, name
        check_shape(tensor, expected[own].shape, name, model.name, file)

    # Divide conv1's weights instead of the pixels. Its zero padding stays right: 0 is the mean pixel in both.
    first = next(iter(expected))
    divisor = torch.tensor(external.pixel_deviation, dtype=torch.float64) * model.pixel_scale
    tensors[first] = tensors[first].double() / divisor[:, None, None]
    network = assemble(model, len(last), tensors, file, names)
    return TrainedNetwork(network, model, len(last), torch.tensor(external.pixel_mean, dtype=torch.float32))
