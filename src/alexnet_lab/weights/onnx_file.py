"""The network as an ONNX graph, through torch.onnx."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from pathlib import Path

import torch

from alexnet_lab.errors import UserError
from alexnet_lab.weights.trained_network import TrainedNetwork
from alexnet_lab.weights.whole_file import write_bytes

LARGEST = 2**31 - 2**20  # bytes: protocol buffers end at 2 GiB, and the graph itself needs some


def save_onnx(trained: TrainedNetwork, path: Path) -> None:
    """Write a graph from "images", float32 (batch, 3, S, S), to "logits", float32 (batch, num_classes).

    Any batch size; dropout does nothing, as in evaluation. The images are RGB on 0..255 minus the pixel mean.
    Metadata: "alexnet_lab", the configuration as JSON; "pixel_mean", the mean of each channel, where known.
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
    example = torch.zeros(2, 3, side, side)  # two, because one would be taken for a constant
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it announces its own steps
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            trained.network.eval(),
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["alexnet_lab"] = trained.description()
    if trained.pixel_mean is not None:
        channels = trained.pixel_mean.reshape(-1, 3).mean(0)
        program.model.metadata_props["pixel_mean"] = json.dumps([round(float(value), 4) for value in channels])
    write_bytes(path, program.model_proto.SerializeToString())
