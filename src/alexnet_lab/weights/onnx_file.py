"""The network as an ONNX graph, through torch.onnx."""

from __future__ import annotations

import importlib
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.trained_network import TrainedNetwork
from alexnet_lab.weights.whole_file import write_bytes

LARGEST = 2**31 - 2**20  # bytes: protocol buffers end at 2 GiB, and the graph itself needs some


class _FromPixels(nn.Module):
    """A network with the subtraction before it. pixel_mean: float32 (3,), or (S, S, 3), whose centre is taken."""

    mean: Tensor

    def __init__(self, network: nn.Module, pixel_mean: Tensor, side: int) -> None:
        super().__init__()
        self.network = network
        if pixel_mean.dim() == 3:
            first = (len(pixel_mean) - side) // 2
            pixel_mean = pixel_mean[first : first + side, first : first + side]
        else:
            pixel_mean = pixel_mean[None, None]
        self.register_buffer("mean", pixel_mean.permute(2, 0, 1).contiguous())

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images - self.mean)


def save_onnx(trained: TrainedNetwork, path: Path) -> None:
    """Write a graph from "images", float32 (batch, 3, S, S), to "logits", float32 (batch, num_classes).

    Any batch size; dropout does nothing, as in evaluation. The images are RGB on 0..255: the graph itself subtracts the
    centre of the mean image, as src/evaluate.py does from a centre view; where the mean is not known, nothing.
    Metadata: "alexnet_lab", the configuration as JSON; "images", in words what the graph takes.
    Raises UserError where a package is missing, the network is too large, or the file cannot be written.
    """
    parameters = sum(parameter.numel() for parameter in trained.network.parameters())
    if 4 * parameters > LARGEST:
        raise UserError(f"{path}: ONNX files end at 2 GiB, and {parameters} parameters need more; use safetensors")
    try:
        for package in ("onnx", "onnxscript"):  # here, because it takes a second and this format alone needs them
            importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"format=onnx: {error.name} is not installed; pip install onnx onnxscript") from None
    side = trained.model.input_size
    network = trained.network if trained.pixel_mean is None else _FromPixels(trained.network, trained.pixel_mean, side)
    example = torch.zeros(2, 3, side, side)  # two, because one would be taken for a constant
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it announces its own steps
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["alexnet_lab"] = trained.description()
    unknown = " minus the mean of the training images, which is not known" if trained.pixel_mean is None else ""
    program.model.metadata_props["images"] = f"RGB on 0..255, the centre {side} x {side} of an image{unknown}"
    write_bytes(path, program.model_proto.SerializeToString())
