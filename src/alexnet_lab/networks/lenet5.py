"""LeNet-5 (LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alexnet_lab.config.architectures import LeNet5Config
from alexnet_lab.networks.alexnet import ACTIVATIONS


class LeNet5(nn.Module):
    """Two convolutions, each followed by pooling, and three fully connected layers.

    Input: (N, 3, input_size, input_size), raw pixels minus their mean; output: (N, num_classes) logits.
    As in 1998: the sizes of all layers at 32 pixels, tanh by default, initial weights uniform within
    2.4 / fan_in. Modernized: three colours for one; plain tanh for its scaled one; mean pooling without
    trainable coefficients; every map of conv2 sees every map of pool1; a linear layer and softmax
    cross-entropy for the radial basis functions; the last convolution is written as the fully connected
    layer that it is at 32 pixels. 62,006 parameters with 10 classes.
    """

    def __init__(self, num_classes: int, options: LeNet5Config) -> None:
        super().__init__()
        side = ((options.input_size - 4) // 2 - 4) // 2  # of the maps after pool2
        nonlinearity = ACTIVATIONS[options.activation]
        self.pixel_scale = options.pixel_scale
        self.conv1 = nn.Sequential(nn.Conv2d(3, 6, 5), nonlinearity(), nn.AvgPool2d(2))
        self.conv2 = nn.Sequential(nn.Conv2d(6, 16, 5), nonlinearity(), nn.AvgPool2d(2))
        self.fc3 = nn.Sequential(nn.Linear(16 * side * side, 120), nonlinearity())
        self.fc4 = nn.Sequential(nn.Linear(120, 84), nonlinearity())
        self.fc5 = nn.Linear(84, num_classes)
        self.initialize()

    @torch.no_grad()
    def initialize(self) -> None:
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                bound = 2.4 / layer.weight[0].numel()
                nn.init.uniform_(layer.weight, -bound, bound)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer's activations, (N, 84)."""
        x = self.conv1(x * self.pixel_scale)  # (N, 6, 14, 14)
        x = self.conv2(x)  # (N, 16, 5, 5)
        x = self.fc3(x.flatten(1))  # (N, 120)
        return self.fc4(x)  # (N, 84)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc5(self.features(x))
