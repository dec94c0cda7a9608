"""Caffe's AlexNet: a .caffemodel, the bytes of its message NetParameter.

Where Caffe's numbers lie otherwise than ours:
- Its channels are blue, green, red; conv1's kernels are turned to red, green, blue.
- Two towers are groups of a convolution: kernels of the first group come first, as here.
- fc6 sees the maps flattened map by map, then row by row: torch.flatten's order, so nothing moves.
- Its LRN divides alpha by the window's size, as here, and has k = 1.
- Its input is raw pixels minus the mean image of ILSVRC-2012, which lies in another file and is smooth; the
  mean of each of its channels is used here, as in Caffe's own example of classification.

Source: caffe.proto, messages NetParameter, LayerParameter, V1LayerParameter, BlobProto.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.weights.caffe_messages import NetParameter
from alexnet_lab.weights.external_weights import ExternalWeights

LARGEST_FILE = 2**31  # bytes, protocol buffers' own limit
PIXEL_MEAN = (122.67891434, 116.66876762, 104.00698793)  # of ilsvrc_2012_mean.npy, red, green, blue

# By their number in the older of the two formats of a layer.
V1_TYPES = {4: "Convolution", 14: "InnerProduct", 15: "LRN", 17: "Pooling", 18: "ReLU", 23: "TanH"}

# The layers that compute; those for data, dropout and losses are left out.
COMPUTE = ("Convolution", "InnerProduct", "LRN", "Pooling", "ReLU", "TanH", "Sigmoid", "BatchNorm", "Scale", "Eltwise")
CONVOLUTION, FULLY_CONNECTED = ("Convolution", "ReLU"), ("InnerProduct", "ReLU")
ENDING = (*CONVOLUTION * 3, "Pooling", *FULLY_CONNECTED * 2, "InnerProduct")
SEQUENCES = {
    "paper": (*CONVOLUTION, "LRN", "Pooling", *CONVOLUTION, "LRN", "Pooling", *ENDING),  # bvlc_alexnet
    "caffenet": (*CONVOLUTION, "Pooling", "LRN", *CONVOLUTION, "Pooling", "LRN", *ENDING),
}
GEOMETRY = ((4, 0, 1), (1, 2, 2), (1, 1, 1), (1, 1, 2), (1, 1, 2))  # stride, padding, groups of conv1 to conv5


@dataclass(frozen=True)
class Layer:
    """One layer of the file; `message` is of either format."""

    name: str
    kind: str
    message: Any


def read_caffemodel(file: Path) -> ExternalWeights:
    """The weights in a .caffemodel. Raises UserError for a damaged file or a network other than AlexNet or CaffeNet."""
    if file.stat().st_size > LARGEST_FILE:
        raise UserError(f"{file}: is larger than a .caffemodel can be")
    try:
        layers = _layers(NetParameter.FromString(file.read_bytes()))
        if not layers:
            raise UserError(f"{file}: holds no layers of Caffe's; it is damaged or not a file of weights")
        order = _layer_order(layers, file)
        lrn = _normalization([layer for layer in layers if layer.kind == "LRN"], file)
        weighted = [layer for layer in layers if layer.kind in ("Convolution", "InnerProduct")]
        for layer, expected in zip(weighted, GEOMETRY, strict=False):
            _check_geometry(layer, expected, file)
        tensors = [pair for layer in weighted for pair in _tensors(layer, file)]
    except (DecodeError, ValueError) as error:
        raise UserError(f"{file}: is damaged, cut short, or not a file of weights ({error})") from None
    name, conv1 = tensors[0]
    if conv1.dim() != 4 or conv1.shape[1] != 3:
        raise UserError(f"{file}: {name} has shape {tuple(conv1.shape)}, and must see 3 channels")
    tensors[0] = (name, conv1.flip(1))  # blue, green, red to red, green, blue
    return ExternalWeights("alexnet_caffe", tensors, PIXEL_MEAN, options={"layer_order": order, **lrn})


def _layers(net: Any) -> list[Layer]:
    layers = [Layer(layer.name, layer.type, layer) for layer in net.layer]
    layers += [Layer(layer.name, V1_TYPES.get(layer.type, ""), layer) for layer in net.layers]
    return [layer for layer in layers if layer.kind in COMPUTE]


def _layer_order(layers: list[Layer], file: Path) -> str:
    """The option layer_order, which tells bvlc_alexnet from CaffeNet."""
    kinds = tuple(layer.kind for layer in layers)
    for order, expected in SEQUENCES.items():
        if kinds == expected:
            return order
    alexnet = SEQUENCES["paper"]
    reason = f"{len(kinds)} layers that compute instead of {len(alexnet)}"
    for layer, kind in zip(layers, alexnet, strict=False):
        if layer.kind != kind:
            reason = f"layer {layer.name!r:.60} is of type {layer.kind} where {kind} belongs"
            break
    raise UserError(f"{file}: is not Caffe's AlexNet or CaffeNet: {reason}")


def _normalization(layers: list[Layer], file: Path) -> dict[str, Any]:
    """The options of LRN, which both layers must share."""
    found = []
    for layer in layers:
        settings = layer.message.lrn
        if settings.norm_region != 0:
            raise UserError(f"{file}: {layer.name} normalizes within each map; AlexNet does across maps")
        numbers = {f"lrn_{key}": _decimal(getattr(settings, key)) for key in ("alpha", "beta", "k")}
        found.append({"lrn_size": settings.local_size, **numbers})
    if any(other != found[0] for other in found):
        raise UserError(f"{file}: its two LRN layers differ, which this network cannot express")
    return found[0]


def _decimal(value: float) -> float:
    """What was meant by a single-precision number: 1e-4 rather than 9.999999747378752e-05."""
    return float(f"{value:.7g}")


def _check_geometry(layer: Layer, expected: tuple[int, int, int], file: Path) -> None:
    settings = layer.message.convolution
    found = (settings.stride, settings.pad, settings.group)
    if found != expected:
        words = "stride {}, padding {} and {} groups"
        raise UserError(f"{file}: {layer.name} has {words.format(*found)}, and AlexNet {words.format(*expected)}")


def _tensors(layer: Layer, file: Path) -> list[tuple[str, Tensor]]:
    """Weights and biases; those of a fully connected layer as (units, inputs)."""
    blobs = layer.message.blobs
    if len(blobs) != 2:
        raise UserError(f"{file}: {layer.name} has {len(blobs)} tensors, and must have weights and biases")
    if layer.message.inner_product.transpose:
        raise UserError(f"{file}: {layer.name} keeps its weights transposed, which is not supported")
    weight, bias = (_blob(blob, layer.name) for blob in blobs)
    if layer.kind == "InnerProduct":
        weight = _without_leading_ones(weight, 2)
    return [(f"{layer.name}.weight", weight), (f"{layer.name}.bias", _without_leading_ones(bias, 1))]


def _blob(blob: Any, name: str) -> Tensor:
    """The numbers of a BlobProto in its shape, which older files give in four fields. Raises ValueError."""
    old_shape = [blob.num, blob.channels, blob.height, blob.width]
    shape = list(blob.shape.dim) if blob.HasField("shape") else old_shape
    content = bytearray(blob.data or blob.double_data)
    dtype: np.dtype[Any] = np.dtype("<f4" if blob.HasField("data") else "<f8")
    if len(shape) > 32 or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} has {len(content) // dtype.itemsize} numbers for the shape {shape!s:.80}")
    return torch.from_numpy(np.frombuffer(content, dtype).reshape(shape))


def _without_leading_ones(tensor: Tensor, dimensions: int) -> Tensor:
    """Older files write every tensor with four dimensions, those that are missing as 1."""
    while tensor.dim() > dimensions and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor
