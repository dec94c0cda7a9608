"""The options of each network, declared once: type, default, unit, range, what cannot work, how many parameters it has.

They stand here and not in `networks`, because `runs` reads them from run folders and the preflight check from a command
line, without torch. The network itself takes an object of its class (`networks.build`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from alexnet_lab.config import geometry
from alexnet_lab.config.geometry import KERNELS_CONV1_TO_CONV5, UNITS_FC6_AND_FC7
from alexnet_lab.config.option import option
from alexnet_lab.config.own import OwnPart
from alexnet_lab.core.errors import UserError


def _architecture(default: str) -> Any:
    return option(default, "which network the other options describe; the preset's")


def _activation(default: str) -> Any:
    choices = ("relu", "tanh", "leaky_relu", "gelu", "silu")
    return option(default, "nonlinearity of every hidden layer (section 3.1)", choices=choices)


def _input_size(default: int, minimum: int) -> Any:
    meaning = "side of the crop that the network sees"
    return option(default, meaning, unit="pixels", minimum=minimum, maximum=4096)


@dataclass
class ModelConfig:
    """What every network has."""

    HAS_CONV1: ClassVar[bool] = True  # whether its first layer is named as the paper names it

    name: str = option("mini", "the preset's name, for tables and logs; model=NAME chooses it, it cannot be set")
    architecture: str = _architecture("alexnet")
    input_size: int = _input_size(48, minimum=1)
    stored_size: int = option(
        64, "side of the stored image that crops come from", unit="pixels", minimum=1, maximum=1024
    )
    pixel_scale: float = option(
        1.0, "factor on the pixels (0..255 minus their mean) before conv1", minimum=1e-6, maximum=1e6
    )

    def check(self) -> None:
        """Raise UserError, in one line, for options that are in range and cannot work together."""

    def number_of_parameters(self, num_classes: int) -> int:
        """Those of the network that `networks.build` makes of these options, by arithmetic alone.

        Raises ValueError where its geometry cannot work.
        """
        raise NotImplementedError


@dataclass
class AlexNetConfig(ModelConfig):
    """AlexNet: what the paper's section 3 chooses, and what the original program chose."""

    towers: int = option(2, "independent halves of the convolutional layers (section 3.2)", choices=(1, 2))
    communicating: bool = option(True, "towers see each other at conv3 and fc6 (false: joined at fc8 alone)")
    half_kernels: bool = option(
        False, "one tower with half the kernels in conv1 to conv4 (run 145-half of the original program)"
    )
    kernels: list[int] = option(
        list(KERNELS_CONV1_TO_CONV5),
        "of conv1 to conv5, both towers together",
        unit="kernels",
        minimum=1,
        maximum=1_000_000,
    )
    units: list[int] = option(list(UNITS_FC6_AND_FC7), "of fc6 and fc7", unit="units", minimum=1, maximum=1_000_000)
    width: float = option(
        0.25, "factor on the kernels of every convolution and the units of fc6 and fc7", minimum=0.01, maximum=8.0
    )
    without: str = option(
        "none",
        "a layer to leave out; its activation and normalization go too, its pooling stays (section 7)",
        choices=("none", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"),
    )
    sixth_convolution: bool = option(
        False, "conv6 over the last pooling layer, as large as conv5, seeing both towers (section 6.1's CNN*)"
    )
    lrn: bool = option(True, "normalize across kernels (section 3.3)")
    lrn_layers: list[int] = option(
        [1, 2], "convolutions that lrn follows, 1 to 5; [] is lrn=false", minimum=1, maximum=5
    )
    lrn_per_tower: bool = option(
        True, "no window leaves its tower (false: over all kernels, as Caffe does, where the towers communicate)"
    )
    lrn_size: int = option(5, "neighbouring kernels in one window", unit="kernels", minimum=1, maximum=255)
    lrn_alpha: float = option(
        1e-4, "scale of the summed squares; lrn_alpha_convention says how", minimum=0.0, maximum=100.0
    )
    lrn_alpha_convention: str = option(
        "per_window",
        "per_window: lrn_alpha / lrn_size times the sum (the original, Caffe, nn.LocalResponseNorm); "
        "per_element: lrn_alpha times the sum (the paper's formula)",
        choices=("per_window", "per_element"),
    )
    lrn_beta: float = option(0.75, "exponent of the normalization", minimum=0.0, maximum=10.0)
    lrn_k: float = option(2.0, "constant added to the summed squares", minimum=1e-6, maximum=1e6)
    spatial_normalization: bool = option(
        True, "the original program's 5 x 5 normalization within each map of conv2; goes with conv2's lrn"
    )
    overlapping_pool: bool = option(True, "pool 3 x 3 with stride 2 (section 3.4); false: 2 x 2 with stride 2")
    pool_rounding: str = option(
        "ceiling",
        "ceiling: the last pooling window may hang over the edge, and without overlapping_pool conv2 and conv5 lose a "
        "pixel of padding, so that fc6 keeps its size (the original program); floor: it may not, and they lose none",
        choices=("ceiling", "floor"),
    )
    layer_order: str = option(
        "original",
        "original: conv1 LRN-pool-ReLU, conv5 pool-ReLU; paper: ReLU-LRN-pool everywhere; caffenet: ReLU-pool-LRN",
        choices=("original", "paper", "caffenet"),
    )
    activation: str = _activation("relu")
    dropout: float = option(
        0.5, "probability of dropping a unit of fc6 and fc7 (section 4.2)", minimum=0.0, maximum=0.95
    )
    dropout_place: str = option(
        "after", "drop what fc6 and fc7 give (section 4.2), or before them what they see", choices=("after", "before")
    )
    dropout_scaling: str = option(
        "training",
        "test: in evaluation all units, times 1 - dropout (section 4.2, the original); "
        "training: in training those kept, over 1 - dropout (Caffe, torchvision, Keras)",
        choices=("test", "training"),
    )
    stem_kernel_size: int = option(5, "side of conv1's kernels", unit="pixels", minimum=1, maximum=63)
    stem_stride: int = option(2, "stride of conv1", unit="pixels", minimum=1, maximum=63)
    stem_padding: str = option(
        "ceiling",
        "around the image: ceiling (the last window of conv1 hangs over the edge, as the original's does), none, "
        "or pixels on all sides (torchvision: 2)",
    )
    initialization: str = option(
        "normal",
        "normal: init_std and init_bias (section 5); glorot: Keras's default; pytorch: PyTorch's",
        choices=("normal", "glorot", "pytorch"),
    )
    init_std: list[float] = option(
        [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01],
        "standard deviation of the initial weights, conv1 to fc8 (conv6 as conv5)",
        minimum=0.0,
        maximum=1000.0,
    )
    init_bias: list[float] = option(
        [0, 1, 0, 1, 1, 1, 1, 0], "initial bias, conv1 to fc8 (conv6 as conv5)", minimum=-1000.0, maximum=1000.0
    )

    def check(self) -> None:
        for key, needed, meant in (
            ("init_std", 8, "conv1 to fc8"),
            ("init_bias", 8, "conv1 to fc8"),
            ("kernels", 5, "conv1 to conv5"),
            ("units", 2, "fc6 and fc7"),
        ):
            if (found := len(getattr(self, key))) != needed:
                raise UserError(f"model.{key}: needs {needed} numbers, {meant}; got {found}")
        if len(set(self.lrn_layers)) != len(self.lrn_layers):
            raise UserError(f"model.lrn_layers={self.lrn_layers}: names a layer twice")
        if self.half_kernels and self.towers != 1:
            raise UserError("model.half_kernels=true: is defined for one tower; add model.towers=1")
        if not self.communicating and self.towers == 1:
            raise UserError("model.communicating=false: needs model.towers=2; one tower has nobody to talk to")
        names = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
        for name, count in zip(names, self.layer_sizes(), strict=True):
            if count < 1 or count % self.towers:
                raise UserError(
                    f"model.width={self.width}: gives {name} {count} kernels, which {self.towers} towers cannot share"
                )
        try:
            self.edges()
        except ValueError as error:
            raise UserError(f"model.stem_padding={self.stem_padding}: {error}") from None
        try:
            self.map_sizes()
        except ValueError as error:
            raise UserError(f"model.input_size={self.input_size}: {error}") from None

    def layer_sizes(self) -> tuple[int, ...]:
        """Kernels of conv1 to conv5 and units of fc6 and fc7, over all towers."""
        return geometry.scaled_kernels(self.width, self.half_kernels, self.communicating, self.kernels, self.units)

    def edges(self) -> tuple[int, int]:
        """Pixels added before and after the image; raises ValueError as `geometry.stem_edges` does."""
        return geometry.stem_edges(self.input_size, self.stem_kernel_size, self.stem_stride, self.stem_padding)

    def map_sizes(self) -> tuple[int, ...]:
        """Sides of the maps, in pixels; raises ValueError as `geometry.feature_map_sizes` does."""
        return geometry.feature_map_sizes(
            *(self.input_size, self.stem_kernel_size, self.stem_stride, self.overlapping_pool),
            *(self.stem_padding, self.without, self.pool_rounding),
        )

    def number_of_parameters(self, num_classes: int) -> int:
        *kernels, fc6, fc7 = self.layer_sizes()
        apart = self.towers  # conv2, conv4 and conv5 see their own tower alone
        joined = 1 if self.communicating else self.towers  # conv3, conv6, fc6 and fc7 see both, where they communicate
        total, seen = 0, 3
        convolutions = zip(kernels, (self.stem_kernel_size, 5, 3, 3, 3), (1, apart, joined, apart, apart), strict=True)
        for number, (own, side_of_kernel, groups) in enumerate(convolutions, 1):
            if self.without != f"conv{number}":
                total, seen = total + _layer(own, seen // groups * side_of_kernel**2), own
        if self.sixth_convolution:
            total, seen = total + _layer(kernels[-1], seen // joined * 9), kernels[-1]
        seen *= self.map_sizes()[-1] ** 2
        for name, own in (("fc6", fc6), ("fc7", fc7)):
            if self.without != name:
                total, seen = total + _layer(own, seen // joined), own
        return total + _layer(num_classes, seen)


@dataclass
class LeNet5Config(ModelConfig):
    """LeNet-5."""

    architecture: str = _architecture("lenet5")
    input_size: int = _input_size(32, minimum=12)
    activation: str = _activation("tanh")

    def number_of_parameters(self, num_classes: int) -> int:
        side = ((self.input_size - 4) // 2 - 4) // 2
        return _layer(6, 3 * 25) + _layer(16, 6 * 25) + _layer(120, 16 * side**2) + _layer(84, 120) + 85 * num_classes


@dataclass
class Cifar10NetConfig(ModelConfig):
    """The four-layer network of section 3.1."""

    architecture: str = _architecture("cifar10_net")
    input_size: int = _input_size(32, minimum=8)
    activation: str = _activation("relu")
    lrn: bool = option(True, "normalize the first two pooled maps, each within itself")

    def number_of_parameters(self, num_classes: int) -> int:
        side = self.input_size // 2 // 2 // 2
        return _layer(32, 3 * 25) + _layer(32, 32 * 25) + _layer(64, 32 * 25) + (64 * side**2 + 1) * num_classes


@dataclass
class Cifar10LocalNetConfig(ModelConfig):
    """The network of section 3.3 that errs by 13 % on CIFAR-10, and by 11 % with normalization."""

    architecture: str = _architecture("cifar10_local_net")
    input_size: int = _input_size(24, minimum=8)
    activation: str = _activation("relu")
    lrn: bool = option(True, "normalize both convolutions across kernels")

    def number_of_parameters(self, num_classes: int) -> int:
        places = (self.input_size // 2 // 2) ** 2
        convolutions = _layer(64, 3 * 25) + _layer(64, 64 * 25)
        return convolutions + places * (_layer(32, 64 * 9) + _layer(32, 32 * 9)) + _layer(num_classes, 32 * places)


@dataclass
class TorchvisionConfig(ModelConfig):
    """A network that torchvision builds, by its name there."""

    HAS_CONV1: ClassVar[bool] = False
    # Weights without the last layer, and the units that it sees.
    BODIES: ClassVar[dict[str, tuple[int, int]]] = {
        "vgg11": (128_766_336, 4096),
        "vgg16": (134_260_544, 4096),
        "googlenet": (5_599_904, 1024),
        "resnet18": (11_176_512, 512),
        "resnet50": (23_508_032, 2048),
    }

    architecture: str = _architecture("resnet18")
    input_size: int = _input_size(224, minimum=32)  # five times it is halved

    def number_of_parameters(self, num_classes: int) -> int:
        body, units = self.BODIES[self.architecture]
        return body + (units + 1) * num_classes


@dataclass
class TorchvisionDropoutConfig(TorchvisionConfig):
    """The same of one with dropout before its last layers."""

    architecture: str = _architecture("vgg11")
    dropout: float = option(0.5, "probability of dropping a unit", minimum=0.0, maximum=0.95)


@dataclass
class OwnNetworkConfig(OwnPart, ModelConfig):
    """A network of one's own: a class or function that takes num_classes, and input_size where it has such an argument,
    and gives a module from (N, 3, input_size, input_size) to logits (N, num_classes).
    """

    HAS_CONV1: ClassVar[bool] = False

    name: str = option("", "the option's name, for tables and logs")
    architecture: str = _architecture("own")
    pixel_scale: float = option(
        0.015625, "factor on the pixels (0..255 minus their mean) before the network", minimum=1e-6, maximum=1e6
    )


ARCHITECTURES: dict[str, type[ModelConfig]] = {
    "alexnet": AlexNetConfig,
    "lenet5": LeNet5Config,
    "cifar10_net": Cifar10NetConfig,
    "cifar10_local_net": Cifar10LocalNetConfig,
    "vgg11": TorchvisionDropoutConfig,
    "vgg16": TorchvisionDropoutConfig,
    "googlenet": TorchvisionDropoutConfig,
    "resnet18": TorchvisionConfig,
    "resnet50": TorchvisionConfig,
}


def _layer(units: int, inputs: int) -> int:
    """Weights and biases of units, or kernels, that see so many numbers each."""
    return units * (inputs + 1)
