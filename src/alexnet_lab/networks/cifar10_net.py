"""The four-layer CIFAR-10 network on which the paper compares ReLU with tanh (section 3.1, figure 1)."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from alexnet_lab.config.architectures import Cifar10NetConfig
from alexnet_lab.networks.alexnet import ACTIVATIONS
from alexnet_lab.networks.initialization import initialize_normal
from alexnet_lab.networks.spatial_norm import SpatialNorm

INITIAL_STD = (0.0001, 0.01, 0.01, 0.01)  # conv1 to fc4; all biases start at 0


class Cifar10Net(nn.Module):
    """Three convolutions, 32, 32 and 64 kernels of 5 x 5, each followed by 3 / 2 pooling, and one linear layer.

    Input: (N, 3, input_size, input_size), raw pixels minus their mean; output: (N, num_classes) logits.
    Source: the layer file layers-18pct of the 2012 program: 18 % error on CIFAR-10. There conv1 is pooled by
    its maximum before its ReLU, conv2 and conv3 by their means after it, and (lrn=True) the first two pooled
    maps are normalized within 3 x 3 neighbourhoods of each map, alpha 5e-5, beta 0.75.
    The 13 % and 11 % of section 3.3 are another net's (cifar10_local_net). 89,578 parameters with 10 classes at 32
    pixels.
    """

    def __init__(self, num_classes: int, options: Cifar10NetConfig) -> None:
        super().__init__()

        def block(seen: int, kernels: int, pool: nn.Module, normalized: bool, pool_first: bool) -> nn.Sequential:
            pooling, nonlinearity = {"pool": pool}, {"activation": ACTIVATIONS[options.activation]()}
            layers = pooling | nonlinearity if pool_first else nonlinearity | pooling
            if normalized and options.lrn:
                layers["lrn"] = SpatialNorm(3, 5e-5, 0.75)
            return nn.Sequential(OrderedDict(conv=nn.Conv2d(seen, kernels, 5, padding=2), **layers))

        side = options.input_size
        for _ in range(3):
            side = side // 2  # ceil((side - 3) / 2) + 1, the original's rule
        self.pixel_scale = options.pixel_scale
        self.conv1 = block(3, 32, nn.MaxPool2d(3, 2, ceil_mode=True), normalized=True, pool_first=True)
        self.conv2 = block(32, 32, nn.AvgPool2d(3, 2, ceil_mode=True), normalized=True, pool_first=False)
        self.conv3 = block(32, 64, nn.AvgPool2d(3, 2, ceil_mode=True), normalized=False, pool_first=False)
        self.fc4 = nn.Linear(64 * side * side, num_classes)
        initialize_normal(self, INITIAL_STD)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer's activations, (N, 1024) at 32 pixels."""
        x = self.conv1(x * self.pixel_scale)  # (N, 32, 16, 16)
        x = self.conv2(x)  # (N, 32, 8, 8)
        return self.conv3(x).flatten(1)  # (N, 64, 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc4(self.features(x))
