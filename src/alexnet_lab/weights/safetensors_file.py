"""This project's own file of weights: safetensors, with the configuration inside.

A safetensors file holds tensors and text, never code. Its metadata has one entry, "alexnet_lab": JSON with the
model configuration, the number of classes and, where known, their names. Beside the network's own tensors
there may be "pixel_mean".
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.file_kind import check_file
from alexnet_lab.weights.trained_network import (
    LARGEST_IMAGE,
    TrainedNetwork,
    assemble,
    checked_model,
    checked_tensor,
)
from alexnet_lab.weights.whole_file import write_bytes

ENTRY = "alexnet_lab"
PIXEL_MEAN = "pixel_mean"
LARGEST_HEADER = 16 * 2**20  # bytes; ours take thousands, or a few million with 100,000 class names


def save(trained: TrainedNetwork, path: Path) -> None:
    """Write the network, its configuration and its pixel mean. Raises UserError where the file cannot be written."""
    tensors = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    if trained.pixel_mean is not None:
        tensors[PIXEL_MEAN] = trained.pixel_mean.contiguous()
    write_bytes(path, safetensors.torch.save(tensors, {ENTRY: trained.description()}))


def load(path: Path, trust: bool = False) -> TrainedNetwork:
    """Read what `save` wrote. Raises UserError for anything else, before memory is taken for it.

    trust: whether a network that is not built in may be made.
    """
    check_file(path)
    _check_header(path)
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError, TypeError, AttributeError):
        raise UserError(f"{path}: is damaged or cut short") from None
    if ENTRY not in metadata:
        raise UserError(f"{path}: was not written by this program: it does not say which network its weights are for")
    try:
        description = json.loads(metadata[ENTRY])
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict) or description.get("format") != 1:
        raise UserError(f"{path}: its description cannot be read; it is damaged or of another version")
    num_classes, class_names = description.get("num_classes"), description.get("class_names")
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or not 1 <= num_classes < 2**31:
        raise UserError(f"{path}: num_classes={num_classes!r:.40}: must be a whole number from 1")
    if class_names is not None and (
        not isinstance(class_names, list)
        or len(class_names) != num_classes
        or not all(isinstance(name, str) for name in class_names)
    ):
        raise UserError(f"{path}: its class names are not {num_classes} words")
    model = checked_model(description.get("model"), path, trust)
    mean = tensors.pop(PIXEL_MEAN, None)
    if mean is not None:
        mean = _checked_mean(mean, path)
    return TrainedNetwork(assemble(model, num_classes, tensors, path), model, num_classes, mean, class_names)


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise UserError(f"{path}: claims a header of {length} bytes; it is damaged or not a file of weights")


def _checked_mean(mean: torch.Tensor, path: Path) -> torch.Tensor:
    shape = tuple(mean.shape)
    side = shape[0] if shape else 0
    if shape != (3,) and (shape != (side, side, 3) or not 1 <= side <= LARGEST_IMAGE):
        raise UserError(f"{path}: {PIXEL_MEAN} is {' x '.join(map(str, shape))}, not 3 or S x S x 3")
    return checked_tensor(mean, PIXEL_MEAN, path)
