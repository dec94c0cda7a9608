"""The CIFAR-10 network whose last two hidden layers do not share weights over positions (section 3.3)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from alexnet_lab.config.architectures import Cifar10LocalNetConfig
from alexnet_lab.networks.alexnet import ACTIVATIONS
from alexnet_lab.networks.initialization import initialize_normal
from alexnet_lab.networks.local_response_norm import LocalResponseNorm
from alexnet_lab.networks.locally_connected import LocallyConnected2d

INITIAL_STD = (0.0001, 0.01, 0.04, 0.04, 0.01)  # conv1 to fc5; all biases start at 0


class Cifar10LocalNet(nn.Module):
    """Two convolutions of 64 kernels of 5 x 5, each followed by 3 / 2 pooling, and two locally connected layers of 32
    kernels of 3 x 3.

    Input: (N, 3, input_size, input_size), raw pixels minus their mean; output: (N, num_classes) logits.
    Source: the layer files layers-conv-local-11pct and, without normalization, layers-conv-local-13pct of the program
    that the paper's authors published in 2011. It normalizes each convolution's activations over 5 kernels, alpha
    0.001 over the window, beta 0.75, k 1, before they are pooled. 819,242 parameters with 10 classes at 24 pixels.
    """

    def __init__(self, num_classes: int, options: Cifar10LocalNetConfig) -> None:
        super().__init__()

        def convolution(seen: int) -> nn.Sequential:
            layers: OrderedDict[str, nn.Module] = OrderedDict(
                conv=nn.Conv2d(seen, 64, 5, padding=2), activation=ACTIVATIONS[options.activation]()
            )
            if options.lrn:
                layers["lrn"] = LocalResponseNorm(5, 0.001, 0.75, 1.0, 1)
            layers["pool"] = nn.MaxPool2d(3, 2, ceil_mode=True)
            return nn.Sequential(layers)

        def local(seen: int) -> nn.Sequential:
            layer = LocallyConnected2d(seen, 32, 3, side)
            return nn.Sequential(OrderedDict(local=layer, activation=ACTIVATIONS[options.activation]()))

        side = options.input_size // 2 // 2  # ceil((side - 3) / 2) + 1, twice
        self.pixel_scale = options.pixel_scale
        self.conv1, self.conv2 = convolution(3), convolution(64)
        self.local3, self.local4 = local(64), local(32)
        self.fc5 = nn.Linear(32 * side * side, num_classes)
        initialize_normal(self, INITIAL_STD)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer's activations, (N, 1152) at 24 pixels."""
        x = self.conv1(x * self.pixel_scale)  # (N, 64, 12, 12)
        x = self.conv2(x)  # (N, 64, 6, 6)
        return self.local4(self.local3(x)).flatten(1)  # (N, 32, 6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc5(self.features(x))
