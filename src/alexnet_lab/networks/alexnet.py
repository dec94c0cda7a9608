"""AlexNet: the paper's network, the original program's, and every variant that was measured.

One definition for all of them and for both scales; `conf/model/` chooses. Pure torch.nn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.networks.geometry import feature_map_sizes, scaled_kernels, stem_padding
from alexnet_lab.networks.local_response_norm import LocalResponseNorm
from alexnet_lab.networks.spatial_norm import SpatialNorm

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}

# What follows each convolution, in order. Layers that are switched off are left out.
LAYER_ORDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "original": {
        "conv1": ("lrn", "pool", "activation"),
        "conv2": ("activation", "lrn", "spatial", "pool"),
        "conv5": ("pool", "activation"),
    },
    "paper": {
        "conv1": ("activation", "lrn", "pool"),
        "conv2": ("activation", "lrn", "spatial", "pool"),
        "conv5": ("activation", "pool"),
    },
}


class TowerLinear(nn.Module):
    """A fully connected layer in which each tower sees its own units alone.

    Input (N, in_features) to output (N, out_features); features of one tower lie side by side.
    """

    def __init__(self, in_features: int, out_features: int, towers: int) -> None:
        super().__init__()
        self.towers = towers
        self.weight = nn.Parameter(torch.empty(out_features, in_features // towers))
        self.bias = nn.Parameter(torch.empty(out_features))

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(x.chunk(self.towers, 1), self.weight.chunk(self.towers), self.bias.chunk(self.towers), strict=True)
        return torch.cat([F.linear(part, weight, bias) for part, weight, bias in parts], 1)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1] * self.towers}, out_features={len(self.bias)}, towers={self.towers}"


class AlexNet(nn.Module):
    """Five convolutional and three fully connected layers (section 3.5, figure 2).

    Input: (N, 3, input_size, input_size), raw pixels 0..255 minus their mean over the training set.
    Output: (N, num_classes) logits. The towers are channel groups: tower t holds the t-th half of every
    map. They meet at conv3 and from fc6 on or, with communicating=False, at fc8 alone.
    Arguments are the knobs of ModelConfig, which gives their meanings and ranges.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        *,
        towers: int = 2,
        communicating: bool = True,
        half_kernels: bool = False,
        lrn: bool = True,
        lrn_size: int = 5,
        lrn_alpha: float = 1e-4,
        lrn_beta: float = 0.75,
        lrn_k: float = 2.0,
        spatial_normalization: bool = True,
        overlapping_pool: bool = True,
        layer_order: str = "original",
        activation: str = "relu",
        dropout: float = 0.5,
        width: float = 1.0,
        input_size: int = 224,
        pixel_scale: float = 1.0,
        stem_kernel_size: int = 11,
        stem_stride: int = 4,
        init_std: Sequence[float] = (0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01),
        init_bias: Sequence[float] = (0, 1, 0, 1, 1, 1, 1, 0),
    ) -> None:
        super().__init__()
        kernels = scaled_kernels(width, half_kernels, communicating)
        sizes = feature_map_sizes(input_size, stem_kernel_size, stem_stride, overlapping_pool)
        joined = 1 if communicating else towers  # groups of the layers in which towers may meet
        narrow = 0 if overlapping_pool else 1  # run 147 takes a pixel of padding from conv2 and conv5
        edge = stem_padding(input_size, stem_kernel_size, stem_stride)

        def after(layer: str) -> OrderedDict[str, nn.Module]:
            made: OrderedDict[str, nn.Module] = OrderedDict()
            for word in LAYER_ORDERS[layer_order].get(layer, ("activation",)):
                if word == "activation":
                    made["activation"] = ACTIVATIONS[activation]()
                elif word == "pool":
                    made["pool"] = nn.MaxPool2d(3 if overlapping_pool else 2, stride=2, ceil_mode=True)
                elif word == "lrn" and lrn:
                    made["lrn"] = LocalResponseNorm(lrn_size, lrn_alpha, lrn_beta, lrn_k, groups=towers)
                elif word == "spatial" and lrn and spatial_normalization:
                    made["spatial"] = SpatialNorm()
            return made

        def convolution(layer: int, kernel_size: int, groups: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
            seen = 3 if layer == 1 else kernels[layer - 2]
            conv = nn.Conv2d(seen, kernels[layer - 1], kernel_size, stride, padding, groups=groups)
            return nn.Sequential(OrderedDict(conv=conv, **after(f"conv{layer}")))

        def fully_connected(seen: int, units: int) -> nn.Sequential:
            linear = nn.Linear(seen, units) if joined == 1 else TowerLinear(seen, units, joined)
            layers = OrderedDict(linear=linear, activation=ACTIVATIONS[activation](), dropout=nn.Dropout(dropout))
            return nn.Sequential(layers)

        self.pixel_scale = pixel_scale
        self.stem_edge = nn.ZeroPad2d((0, edge, 0, edge)) if edge else nn.Identity()
        self.conv1 = convolution(1, stem_kernel_size, groups=1, stride=stem_stride)
        self.conv2 = convolution(2, 5, groups=towers, padding=2 - narrow)
        self.conv3 = convolution(3, 3, groups=joined, padding=1)
        self.conv4 = convolution(4, 3, groups=towers, padding=1)
        self.conv5 = convolution(5, 3, groups=towers, padding=1 - narrow)
        self.fc6 = fully_connected(kernels[4] * sizes[-1] ** 2, kernels[5])
        self.fc7 = fully_connected(kernels[5], kernels[6])
        self.fc8 = nn.Linear(kernels[6], num_classes)
        self.initialize(init_std, init_bias)

    def weighted_layers(self) -> list[nn.Module]:
        """The eight layers that have weights, conv1 to fc8."""
        kinds = (nn.Conv2d, nn.Linear, TowerLinear)
        return [module for module in self.modules() if isinstance(module, kinds)]

    @torch.no_grad()
    def initialize(self, std: Sequence[float], bias: Sequence[float]) -> None:
        """Weights from N(0, std^2), biases constant, a value for each of conv1 to fc8 (section 5)."""
        for layer, deviation, constant in zip(self.weighted_layers(), std, bias, strict=True):
            nn.init.normal_(layer.weight, 0.0, deviation)  # type: ignore[arg-type]
            nn.init.constant_(layer.bias, constant)  # type: ignore[arg-type]

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer's activations, (N, units of fc7)."""
        if self.pixel_scale != 1.0:
            x = x * self.pixel_scale
        x = self.stem_edge(x)  # (N, 3, 224 + 3, 224 + 3)
        x = self.conv1(x)  # (N, 96, 27, 27)
        x = self.conv2(x)  # (N, 256, 13, 13)
        x = self.conv3(x)  # (N, 384, 13, 13)
        x = self.conv4(x)  # (N, 384, 13, 13)
        x = self.conv5(x)  # (N, 256, 6, 6)
        x = self.fc6(x.flatten(1))  # (N, 4096)
        return self.fc7(x)  # (N, 4096)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc8(self.features(x))
