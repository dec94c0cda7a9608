"""A trained network with what it takes to use it, and the checks that every file of weights passes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn

from alexnet_lab.config.architectures import ModelConfig, OwnNetworkConfig
from alexnet_lab.config.checks import check
from alexnet_lab.config.image_sources import FractalsConfig
from alexnet_lab.config.options import RunConfig, schema_of, with_arguments, without_others
from alexnet_lab.config.own import flat
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.make_network import make_network

LARGEST_IMAGE = 1024  # side in pixels, the upper end of data.image_size


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode: float32 (N, 3, input_size, input_size) to logits (N, num_classes).

    Its input is RGB pixels on the scale of 0..255 minus pixel_mean: float32 (3,), one value per channel, or
    (S, S, 3), an image of which the network sees the centre; None where it is not known.
    """

    network: nn.Module
    model: ModelConfig
    num_classes: int
    pixel_mean: Tensor | None = None
    class_names: list[str] | None = None
    images: str | None = None  # identity of the store that it was trained on

    def description(self) -> str:
        """Everything but the tensors, as JSON."""
        content = {
            "format": 1,
            "model": flat(dataclasses.asdict(self.model)),
            "num_classes": self.num_classes,
            "class_names": self.class_names,
        }
        return json.dumps(content, sort_keys=True, allow_nan=False)


def assemble(
    model: ModelConfig,
    num_classes: int,
    tensors: Mapping[str, Tensor],
    file: Path,
    external_names: Mapping[str, str] | None = None,
) -> nn.Module:
    """The network with these tensors as its weights, in evaluation mode.

    tensors are keyed as in the network's own state dict; external_names says how the file calls them.
    Raises UserError for tensors that are missing, too many, of another shape or type, or not finite.
    """
    names = external_names or {}
    network = shapes_alone(model, num_classes, file)
    expected = network.state_dict()
    check_names(tensors, expected, f"the network {model.name}", file, names)
    for name, tensor in expected.items():
        check_shape(tensors[name], tensor.shape, names.get(name, name), model.name, file)
    own = {}
    for name, tensor in tensors.items():
        whole = expected[name].dtype == torch.int64  # a counter of batch normalization
        own[name] = checked_tensor(tensor, names.get(name, name), file, torch.int64 if whole else torch.float32)
    if isinstance(model, OwnNetworkConfig):  # what it keeps beside its tensors has to have numbers too
        with torch.random.fork_rng(devices=[]):
            network = make_network(model, num_classes)
    network.load_state_dict(own, assign=True)
    return network.eval()


def shapes_alone(model: ModelConfig, num_classes: int, file: Path) -> nn.Module:
    """The network without numbers: no memory is taken, no random number drawn. Raises UserError: beyond all size."""
    try:
        with torch.device("meta"):
            return make_network(model, num_classes)
    except (RuntimeError, OverflowError, MemoryError):  # more elements than a 64-bit number counts
        raise UserError(f"{file}: describes a network larger than any machine holds") from None


def check_names(
    found: Collection[str],
    expected: Collection[str],
    owner: str,
    file: Path,
    external_names: Mapping[str, str] | None = None,
) -> None:
    """Raise UserError, naming the tensor, where one of the owner's is missing in the file or one is too many."""
    names = external_names or {}
    for name in expected:
        if name not in found:
            raise UserError(f"{file}: has no tensor {names.get(name, name)}; it does not hold {owner}")
    for name in found:
        if name not in expected:
            raise UserError(f"{file}: has a tensor {names.get(name, name)!s:.80}, which {owner} has not")


def check_shape(tensor: Tensor, expected: tuple[int, ...], name: str, owner: str, file: Path) -> None:
    """Raise UserError, naming the tensor and both shapes, where they differ."""
    if tuple(tensor.shape) != tuple(expected):
        raise UserError(f"{file}: {name} is {_size(tensor.shape)}, and in {owner} {_size(expected)}")


def checked_tensor(tensor: Tensor, name: str, file: Path, dtype: torch.dtype = torch.float32) -> Tensor:
    """A copy of type dtype. Raises UserError for what is not a plain tensor of finite numbers of that kind."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.is_complex() or tensor.is_floating_point() != dtype.is_floating_point:
        kind = "floating-point" if dtype.is_floating_point else "whole"
        raise UserError(f"{file}: {name} is not a plain tensor of {kind} numbers")
    copy = tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)
    if not torch.isfinite(copy).all():
        raise UserError(f"{file}: {name} holds NaN or infinite numbers; the training that made it had diverged")
    return copy


def checked_model(values: Any, file: Path, trust: bool = False) -> ModelConfig:
    """The model group of a configuration from a file's plain values.

    trust: whether a network that is not built in may be made.
    Raises UserError for unknown keys, wrong types, values out of range and combinations that cannot work.
    """
    if not isinstance(values, dict):
        raise UserError(f"{file}: says nothing about the network that its weights belong to")
    if "${" in repr(values):  # OmegaConf would look such a value up, in the environment for instance
        raise UserError(f"{file}: its model configuration refers to something outside the file")
    refuse_strangers({"model": values}, ("model",), file, trust)
    try:
        settings = with_arguments(without_others({"model": values}))
        merged = OmegaConf.merge(OmegaConf.structured(schema_of(settings).model), settings["model"])
        model = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file}: its model configuration is not one of this version ({reason:.120})") from None
    assert isinstance(model, ModelConfig)
    try:
        # The images are as large as the network asks: weights are used with others than they were trained on.
        side = max(16, min(model.input_size, LARGEST_IMAGE))
        check(RunConfig(model=model, data=FractalsConfig(image_size=side)))
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return model


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))[:80] or "a single number"
