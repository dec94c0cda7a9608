"""torchvision's AlexNet: a state dict in a .pth file.

The network of "One weird trick for parallelizing convolutional neural networks" (Krizhevsky 2014) as torchvision
has it: one tower of 64-192-384-256-256 kernels, conv1 padded by 2, no normalization, dropout before fc6 and fc7.
Its input is RGB on a scale of 0..1, minus a mean, over a deviation, one value per channel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.external_weights import ExternalWeights
from alexnet_lab.weights.trained_network import check_names

LAYERS = (
    *("features.0", "features.3", "features.6", "features.8", "features.10"),
    *("classifier.1", "classifier.4", "classifier.6"),
)
NAMES = tuple(f"{layer}.{kind}" for layer in LAYERS for kind in ("weight", "bias"))

# torchvision.models.AlexNet_Weights.IMAGENET1K_V1.transforms(), on a scale of 0..255.
PIXEL_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
PIXEL_DEVIATION = (0.229 * 255, 0.224 * 255, 0.225 * 255)

WRAPPERS = ("state_dict", "model_state_dict", "model")  # of training scripts, beside their own state
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and DistributedDataParallel, and of torch.compile


def read_state_dict(content: Any, file: Path) -> ExternalWeights:
    """The weights in what torch.save wrote. Raises UserError where they are not those of torchvision's AlexNet."""
    if isinstance(content, dict) and "pytorch-lightning_version" in content:
        raise UserError(f"{file}: is a checkpoint of a training run; export it with python src/export.py run=DIR")
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{file}: does not hold a state dict, which is tensors by name")
    in_file = {_without_prefixes(str(name)): name for name in content}
    if len(in_file) < len(content):
        raise UserError(f"{file}: holds the same tensor with and without a prefix of {' or '.join(PREFIXES)}")
    check_names(in_file, NAMES, "torchvision's AlexNet", file, in_file)
    tensors = [(str(in_file[name]), content[in_file[name]]) for name in NAMES]
    return ExternalWeights("alexnet_torchvision", tensors, PIXEL_MEAN, PIXEL_DEVIATION)


def _without_prefixes(name: str) -> str:
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
        name = name.removeprefix(prefix)
    return name
