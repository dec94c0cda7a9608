"""About how many parameters a network has: arithmetic alone, so that the door can tell without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alexnet_lab.networks.geometry import feature_map_sizes, scaled_kernels

if TYPE_CHECKING:
    from alexnet_lab.config import ModelConfig

# Weights of torchvision's networks without their last layer, and the units that it sees.
NEIGHBOURS = {
    "vgg11": (128_766_792, 4096),
    "vgg16": (134_260_544, 4096),
    "googlenet": (5_599_904, 1024),
    "resnet18": (11_176_512, 512),
    "resnet50": (23_508_032, 2048),
}
SIDES_OF_KERNELS = (5, 3, 3, 3)  # conv2 to conv5


def estimated_parameters(model: ModelConfig, num_classes: int) -> int:
    """The parameters of an AlexNet with every layer, exact but for rounding; of the others no fewer than they have."""
    if model.architecture in NEIGHBOURS:
        body, units = NEIGHBOURS[model.architecture]
        return body + (units + 1) * num_classes
    if model.architecture != "alexnet":
        return 200 * model.input_size**2 + (model.input_size**2 + 128) * num_classes + 100_000
    *kernels, fc6, fc7 = scaled_kernels(
        model.width, model.half_kernels, model.communicating, model.kernels, model.units
    )
    side = feature_map_sizes(
        model.input_size, model.stem_kernel_size, model.stem_stride, model.overlapping_pool, model.stem_padding
    )[-1]
    apart = model.towers  # conv2, conv4 and conv5 see their own tower alone
    joined = 1 if model.communicating else model.towers  # conv3, fc6 and fc7 see both, where they communicate
    total = kernels[0] * (3 * model.stem_kernel_size**2 + 1)
    for before, own, kernel, towers in zip(
        kernels, kernels[1:], SIDES_OF_KERNELS, (apart, joined, apart, apart), strict=False
    ):
        total += own * (before // towers * kernel**2 + 1)
    if model.sixth_convolution:
        total += kernels[-1] * (kernels[-1] * 9 + 1)
    total += fc6 * (kernels[-1] // joined * side**2 + 1) + fc7 * (fc6 // joined + 1)
    return total + num_classes * (fc7 + 1)
