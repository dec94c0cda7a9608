"""AlexNet: the paper's network, the original program's, later ones, and every variant that was measured.

One definition for all of them and for both scales; `conf/model/` chooses. Pure torch.nn.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.config.architectures import AlexNetConfig
from alexnet_lab.networks.local_response_norm import LocalResponseNorm
from alexnet_lab.networks.spatial_norm import SpatialNorm

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": functools.partial(nn.ReLU, inplace=True),  # what it overwrites, no layer's gradient needs
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

# What follows each convolution, in order. Layers that are switched off are left out.
LAYER_ORDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "original": {
        "conv1": ("lrn", "pool", "activation"),
        "conv2": ("activation", "lrn", "spatial", "pool"),
        "conv5": ("lrn", "pool", "activation"),
    },
    "paper": {
        "conv1": ("activation", "lrn", "pool"),
        "conv2": ("activation", "lrn", "spatial", "pool"),
        "conv5": ("activation", "lrn", "pool"),
    },
    "caffenet": {
        "conv1": ("activation", "pool", "lrn"),
        "conv2": ("activation", "pool", "lrn", "spatial"),
        "conv5": ("activation", "pool", "lrn"),
    },
}


@torch.fx.wrap  # one step of a graph of torch.fx, which cannot follow a loop over tensors
def _linear_in_towers(x: Tensor, weight: Tensor, bias: Tensor, towers: int) -> Tensor:
    parts = zip(x.chunk(towers, 1), weight.chunk(towers), bias.chunk(towers), strict=True)
    return torch.cat([F.linear(part, own_weight, own_bias) for part, own_weight, own_bias in parts], 1)


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
        return _linear_in_towers(x, self.weight, self.bias, self.towers)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1] * self.towers}, out_features={len(self.bias)}, towers={self.towers}"


class DropoutScaledAtTest(nn.Module):
    """Dropout as section 4.2 has it: in training each number is kept or 0, in evaluation all are times 1 - p.

    nn.Dropout divides by 1 - p in training instead. A network says the same of images with either, once the next
    layer's weights are multiplied by 1 - p, but it does not learn the same: from the same initial weights, what
    nn.Dropout passes on in training is 1 / (1 - p) times as large.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * (1.0 - self.p)
        return x * torch.empty_like(x).bernoulli_(1.0 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


DROPOUTS: dict[str, Callable[[float], nn.Module]] = {"test": DropoutScaledAtTest, "training": nn.Dropout}

WEIGHTED = (nn.Conv2d, nn.Linear, TowerLinear)


class AlexNet(nn.Module):
    """Five convolutional and three fully connected layers (section 3.5, figure 2).

    Input: (N, 3, input_size, input_size), raw pixels 0..255 minus their mean over the training set.
    Output: (N, num_classes) logits. The towers are channel groups: tower t holds the t-th half of every
    map. They meet at conv3 and from fc6 on or, with communicating=False, at fc8 alone.
    """

    def __init__(self, num_classes: int, options: AlexNetConfig) -> None:
        super().__init__()
        towers, without, overlapping = options.towers, options.without, options.overlapping_pool
        counts = dict(zip(LAYERS, options.layer_sizes(), strict=False))
        counts["conv6"] = counts["conv5"]
        before, after = options.edges()
        joined = 1 if options.communicating else towers  # groups of the layers in which towers may meet
        ceiling = options.pool_rounding == "ceiling"
        narrow = 1 if ceiling and not overlapping else 0  # run 147 takes a pixel of padding from conv2 and conv5
        seen = 3  # maps or units that the next layer sees

        def followers(layer: str) -> OrderedDict[str, nn.Module]:
            """What follows a convolution; if that is left out, its pooling alone: later maps keep their sizes."""
            made: OrderedDict[str, nn.Module] = OrderedDict()
            normalized = options.lrn and layer != without and int(layer[-1]) in options.lrn_layers
            for word in LAYER_ORDERS[options.layer_order].get(layer, ("activation", "lrn")):
                if word == "pool":
                    made["pool"] = nn.MaxPool2d(3 if overlapping else 2, stride=2, ceil_mode=ceiling)
                elif word == "activation" and layer != without:
                    made["activation"] = ACTIVATIONS[options.activation]()
                elif word == "lrn" and normalized:
                    size, alpha = options.lrn_size, options.lrn_alpha
                    if options.lrn_alpha_convention == "per_element":
                        alpha *= size
                    groups = towers if options.lrn_per_tower else joined  # a window too would communicate
                    made["lrn"] = LocalResponseNorm(size, alpha, options.lrn_beta, options.lrn_k, groups)
                elif word == "spatial" and normalized and options.spatial_normalization:
                    made["spatial"] = SpatialNorm()
            return made

        def convolution(layer: str, kernel_size: int, groups: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
            nonlocal seen
            if layer == without:
                return nn.Sequential(followers(layer))
            conv = nn.Conv2d(seen, counts[layer], kernel_size, stride, padding, groups=groups)
            seen = counts[layer]
            return nn.Sequential(OrderedDict(conv=conv, **followers(layer)))

        def fully_connected(layer: str) -> nn.Sequential:
            nonlocal seen
            if layer == without:
                return nn.Sequential()
            units = counts[layer]
            linear = nn.Linear(seen, units) if joined == 1 else TowerLinear(seen, units, joined)
            seen = units
            layers = {"linear": linear, "activation": ACTIVATIONS[options.activation]()}
            drop = {"dropout": DROPOUTS[options.dropout_scaling](options.dropout)}
            return nn.Sequential(OrderedDict(drop | layers if options.dropout_place == "before" else layers | drop))

        self.pixel_scale = options.pixel_scale
        self.stem_edge = nn.ZeroPad2d((0, after, 0, after)) if after > before else nn.Identity()
        self.conv1 = convolution("conv1", options.stem_kernel_size, 1, options.stem_stride, padding=before)
        self.conv2 = convolution("conv2", 5, groups=towers, padding=2 - narrow)
        self.conv3 = convolution("conv3", 3, groups=joined, padding=1)
        self.conv4 = convolution("conv4", 3, groups=towers, padding=1)
        self.conv5 = convolution("conv5", 3, groups=towers, padding=1 - narrow)
        # Over the last pooling layer (section 6.1). The original's runs 146 say how: both towers, 3 x 3, ReLU.
        sixth = options.sixth_convolution
        self.conv6 = convolution("conv6", 3, groups=joined, padding=1) if sixth else nn.Sequential()
        seen *= options.map_sizes()[-1] ** 2
        self.fc6 = fully_connected("fc6")
        self.fc7 = fully_connected("fc7")
        self.fc8 = nn.Linear(seen, num_classes)
        self.initialize(options.initialization, options.init_std, options.init_bias)

    def weighted_layers(self) -> list[nn.Module]:
        """The layers that have weights, in order: conv1 to fc8, without those that are left out."""
        return [module for module in self.modules() if isinstance(module, WEIGHTED)]

    @torch.no_grad()
    def initialize(self, initialization: str, std: Sequence[float], bias: Sequence[float]) -> None:
        """normal: weights from N(0, std^2), biases constant, a value for each of conv1 to fc8 (section 5).

        conv6 starts as conv5 does, as in the original program. glorot: Keras's start, biases 0; pytorch: PyTorch's.
        """
        values = dict(zip(LAYERS, zip(std, bias, strict=True), strict=True))
        values["conv6"] = values["conv5"]
        for name, layer in self.named_modules():
            if not isinstance(layer, WEIGHTED):
                continue
            if initialization == "normal":
                deviation, constant = values[name.split(".")[0]]
                nn.init.normal_(layer.weight, 0.0, deviation)
                nn.init.constant_(layer.bias, constant)  # type: ignore[arg-type]
            elif initialization == "glorot":
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            elif isinstance(layer, TowerLinear):  # PyTorch has initialized its own, uniformly to 1 / sqrt(fan_in)
                for parameter in (layer.weight, layer.bias):
                    nn.init.uniform_(parameter, -(layer.weight.shape[1] ** -0.5), layer.weight.shape[1] ** -0.5)

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
        x = self.conv6(x)  # the same without a sixth convolution
        x = self.fc6(x.flatten(1))  # (N, 4096)
        return self.fc7(x)  # (N, 4096)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc8(self.features(x))
