"""How many parameters a network has: arithmetic alone, for those who load no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alexnet_lab.config.geometry import feature_map_sizes, scaled_kernels

if TYPE_CHECKING:
    from alexnet_lab.config.options import ModelConfig

# Weights of torchvision's networks without their last layer, and the units that it sees.
NEIGHBOURS = {
    "vgg11": (128_766_336, 4096),
    "vgg16": (134_260_544, 4096),
    "googlenet": (5_599_904, 1024),
    "resnet18": (11_176_512, 512),
    "resnet50": (23_508_032, 2048),
}


def number_of_parameters(model: ModelConfig, num_classes: int) -> int:
    """The parameters of the network that `networks.build` makes of this configuration.

    Raises ValueError where its geometry cannot work.
    """
    if model.architecture in NEIGHBOURS:
        body, units = NEIGHBOURS[model.architecture]
        return body + (units + 1) * num_classes
    if model.architecture == "lenet5":
        side = ((model.input_size - 4) // 2 - 4) // 2
        return _layer(6, 3 * 25) + _layer(16, 6 * 25) + _layer(120, 16 * side**2) + _layer(84, 120) + 85 * num_classes
    if model.architecture == "cifar10_net":
        side = model.input_size // 2 // 2 // 2
        return _layer(32, 3 * 25) + _layer(32, 32 * 25) + _layer(64, 32 * 25) + (64 * side**2 + 1) * num_classes
    *kernels, fc6, fc7 = scaled_kernels(
        model.width, model.half_kernels, model.communicating, model.kernels, model.units
    )
    side = feature_map_sizes(
        *(model.input_size, model.stem_kernel_size, model.stem_stride, model.overlapping_pool),
        *(model.stem_padding, model.without),
    )[-1]
    apart = model.towers  # conv2, conv4 and conv5 see their own tower alone
    joined = 1 if model.communicating else model.towers  # conv3, conv6, fc6 and fc7 see both, where they communicate
    total, seen = 0, 3
    convolutions = zip(kernels, (model.stem_kernel_size, 5, 3, 3, 3), (1, apart, joined, apart, apart), strict=True)
    for number, (own, side_of_kernel, groups) in enumerate(convolutions, 1):
        if model.without != f"conv{number}":
            total, seen = total + _layer(own, seen // groups * side_of_kernel**2), own
    if model.sixth_convolution:
        total, seen = total + _layer(kernels[-1], seen // joined * 9), kernels[-1]
    seen *= side**2
    for name, own in (("fc6", fc6), ("fc7", fc7)):
        if model.without != name:
            total, seen = total + _layer(own, seen // joined), own
    return total + _layer(num_classes, seen)


def _layer(units: int, inputs: int) -> int:
    """Weights and biases of units, or kernels, that see so many numbers each."""
    return units * (inputs + 1)
