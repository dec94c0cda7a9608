"""From a trained network to a file that this or another program reads."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.onnx_file import save_onnx
from alexnet_lab.weights.trained_network import TrainedNetwork
from alexnet_lab.weights.whole_file import write_bytes


def save_state_dict(trained: TrainedNetwork, path: Path) -> None:
    """Write the tensors alone, by name, with torch.save. Raises UserError where the file cannot be written."""
    content = io.BytesIO()
    torch.save(plain_state_dict(trained), content)
    write_bytes(path, content.getbuffer())


def plain_state_dict(trained: TrainedNetwork) -> dict[str, Tensor]:
    """The network's tensors without our modules' structure.

    AlexNet's are named by the paper's layers, conv1.weight to fc8.bias; torchvision's networks as torchvision does.
    """
    state = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}
    if trained.model.architecture == "alexnet":
        return {name.replace(".conv.", ".").replace(".linear.", "."): tensor for name, tensor in state.items()}
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


FORMATS: dict[str, Callable[[TrainedNetwork, Path], None]] = {
    "safetensors": safetensors_file.save,
    "onnx": save_onnx,
    "state_dict": save_state_dict,
}
