"""From the model group of a configuration to a network, built in or one's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alexnet_lab.config.architectures import ModelConfig, OwnNetworkConfig
from alexnet_lab.config.parts import check_arguments, failed, found, make, takes
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.build import build_network

DRY_BATCH = 2  # images; batch normalization wants more than one


class OwnNetwork(nn.Module):
    """A network of one's own behind the factor on the pixels that every network here has."""

    def __init__(self, network: nn.Module, pixel_scale: float) -> None:
        super().__init__()
        self.network, self.pixel_scale = network, pixel_scale

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.pixel_scale)


def make_network(model: ModelConfig, num_classes: int) -> nn.Module:
    """The network that the configuration describes, freshly initialized from torch's random state.

    Raises UserError where one of one's own cannot be made.
    """
    if not isinstance(model, OwnNetworkConfig):
        return build_network(model, num_classes)
    given = {"num_classes": num_classes}
    if takes(found("model", model._target_), "input_size") and "input_size" not in model.arguments:
        given["input_size"] = model.input_size
    network = make("model", model, **given)
    if not isinstance(network, nn.Module):
        raise UserError(f"model: {model._target_} gives {type(network).__name__}, not a torch.nn.Module")
    return OwnNetwork(network, model.pixel_scale)


def check_own_network(model: OwnNetworkConfig, num_classes: int) -> int:
    """The number of its parameters, after a dry batch in training and in evaluation, without numbers (meta device).

    A network that needs numbers to be built or asked is built with them. Raises UserError where it does not give logits
    (N, num_classes), or fails.
    """
    check_arguments("model", model._target_, list(model.arguments), ["num_classes"])
    try:
        network = _asked(model, num_classes, "meta")
    except _NeedsNumbers:
        try:
            network = _asked(model, num_classes, "cpu")
        except _NeedsNumbers as error:
            raise failed("model", f"{model._target_} on a dry batch", error.__cause__ or error) from error
    return sum(parameter.numel() for parameter in network.parameters())


class _NeedsNumbers(Exception):  # noqa: N818
    """A network fails; without numbers that may be their lack."""


def _asked(model: OwnNetworkConfig, num_classes: int, device: str) -> nn.Module:
    side = model.input_size
    with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad():
        try:
            network = make_network(model, num_classes)
        except UserError:
            if device == "meta":
                raise _NeedsNumbers from None
            raise
        for training in (True, False):
            network.train(training)
            try:
                logits = network(torch.zeros(DRY_BATCH, 3, side, side))
            except Exception as error:
                raise _NeedsNumbers from error
            wanted = f"({DRY_BATCH}, {num_classes}), a number a class"
            if not isinstance(logits, Tensor):
                kind = type(logits).__name__
                raise UserError(f"model: {model._target_} must give logits {wanted}, and gives {kind}")
            if tuple(logits.shape) != (DRY_BATCH, num_classes):
                given, batch = tuple(logits.shape), (DRY_BATCH, 3, side, side)
                raise UserError(
                    f"model: of a batch {batch} {model._target_} must give logits {wanted}, and gives {given}"
                )
    return network
