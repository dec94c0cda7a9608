"""From the model group of a configuration to a network."""

from __future__ import annotations

import dataclasses

from torch import nn

from alexnet_lab.config.options import ARCHITECTURES, ModelConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.networks.cifar10_net import Cifar10Net
from alexnet_lab.networks.lenet5 import LeNet5

NOT_THE_NETWORKS = ("name", "architecture", "stored_size")  # options of the group that no network has itself
OWN: dict[str, type[nn.Module]] = {"alexnet": AlexNet, "lenet5": LeNet5, "cifar10_net": Cifar10Net}


def build_network(model: ModelConfig, num_classes: int) -> nn.Module:
    """The network that the configuration describes, freshly initialized from torch's random state."""
    options = {item.name: getattr(model, item.name) for item in dataclasses.fields(model)}
    own = ARCHITECTURES[model.architecture]  # None: all
    names = options.keys() - NOT_THE_NETWORKS if own is None else {"input_size", "pixel_scale", *own}
    if model.architecture in OWN:
        return OWN[model.architecture](num_classes, **{name: options[name] for name in names})

    import torchvision  # here, because its import takes a second

    from alexnet_lab.networks.torchvision_networks import TorchvisionNetwork

    if model.architecture not in torchvision.models.list_models():
        raise UserError(
            f"model.architecture={model.architecture}: is named in config.ARCHITECTURES and built by nobody; "
            "add its class to OWN in networks/build.py"
        )
    theirs = {name: options[name] for name in names - {"input_size"}}
    return TorchvisionNetwork(model.architecture, num_classes, **theirs)
