"""The layers of any network: which gives the logits, and which are to learn nothing."""

from __future__ import annotations

from torch import nn

from alexnet_lab.core.errors import UserError

UP_TO = "up-to-"
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMALIZATIONS = (nn.modules.batchnorm._NormBase,)


def last_layer(network: nn.Module) -> str:
    """The name of the layer that gives the logits: the last one that has weights."""
    return [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))][-1]


def freeze(network: nn.Module, which: str) -> None:
    """Let the first layers of a network learn nothing: their weights get no gradient.

    which: "features", all before the first fully connected layer, or "up-to-NAME", all up to and with that one.
    Raises UserError where there is no such layer, or nothing would be left to train.
    """
    inside, layers = _layers(network)
    if which == "features":
        convolutional = [number for number, name in enumerate(layers) if _is_convolutional(inside.get_submodule(name))]
        frozen = layers[: convolutional[-1] + 1] if convolutional else []
        if not frozen:
            raise UserError("freeze=features: the network has no convolution; use freeze=up-to-NAME")
    else:
        name = which.removeprefix(UP_TO)
        if name not in layers:
            raise UserError(f"freeze={which}: no such layer; choose from {', '.join(UP_TO + one for one in layers)}")
        frozen = layers[: layers.index(name) + 1]
    if len(frozen) == len(layers):
        raise UserError(f"freeze={which}: leaves nothing to train")
    for name in frozen:
        inside.get_submodule(name).requires_grad_(False)


def frozen_normalizations(network: nn.Module) -> list[nn.Module]:
    """Layers that are frozen and would still learn: batch normalization, whose statistics are no parameters."""
    return [
        module
        for module in network.modules()
        if isinstance(module, NORMALIZATIONS) and not any(one.requires_grad for one in module.parameters())
    ]


def _layers(network: nn.Module) -> tuple[nn.Module, list[str]]:
    """The module that holds the layers, inside those that only wrap it, and their names in order."""
    while True:
        names = [name for name, child in network.named_children() if any(True for _ in child.parameters())]
        if len(names) != 1 or not any(True for _ in network.get_submodule(names[0]).children()):
            return network, names
        network = network.get_submodule(names[0])


def _is_convolutional(module: nn.Module) -> bool:
    return any(isinstance(part, CONVOLUTIONS) for part in module.modules())
