"""From a file of weights, ours or another program's, to a network."""

from __future__ import annotations

from pathlib import Path

from alexnet_lab.weights.caffe import read_caffemodel
from alexnet_lab.weights.external_weights import adopt
from alexnet_lab.weights.file_kind import kind_of
from alexnet_lab.weights.pickled_file import read_pickled
from alexnet_lab.weights.safetensors_file import load
from alexnet_lab.weights.torchvision_alexnet import read_state_dict
from alexnet_lab.weights.trained_network import TrainedNetwork


def import_weights(file: Path, trust: bool = False) -> TrainedNetwork:
    """The network in a file: our safetensors, torchvision's state dict (.pth) or Caffe's .caffemodel.

    trust: whether a network that is not built in may be made. Raises UserError, in one line, for a file that is none of
    them, is damaged, or holds another network.
    """
    kind = kind_of(file)
    if kind == "safetensors":
        return load(file, trust)
    if kind == "pickled":
        return adopt(read_state_dict(read_pickled(file), file), file)
    return adopt(read_caffemodel(file), file)
