"""From the model group of a configuration to a network."""

from __future__ import annotations

from torch import nn

from alexnet_lab.config import architectures
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.networks.cifar10_local_net import Cifar10LocalNet
from alexnet_lab.networks.cifar10_net import Cifar10Net
from alexnet_lab.networks.lenet5 import LeNet5


def build_network(model: architectures.ModelConfig, num_classes: int) -> nn.Module:
    """The network that the configuration describes, freshly initialized from torch's random state."""
    match model:
        case architectures.AlexNetConfig():
            return AlexNet(num_classes, model)
        case architectures.LeNet5Config():
            return LeNet5(num_classes, model)
        case architectures.Cifar10NetConfig():
            return Cifar10Net(num_classes, model)
        case architectures.Cifar10LocalNetConfig():
            return Cifar10LocalNet(num_classes, model)
        case architectures.TorchvisionConfig():
            from alexnet_lab.networks.torchvision_networks import TorchvisionNetwork  # its import takes a second

            return TorchvisionNetwork(num_classes, model)
    raise UserError(
        f"model.architecture={model.architecture}: is named in config/architectures.py and built by nobody; add its "
        "class to networks/build.py"
    )
