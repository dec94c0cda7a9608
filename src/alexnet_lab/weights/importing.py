"""From a file of weights, ours or another program's, to a network."""

from __future__ import annotations

from pathlib import Path

from alexnet_lab.errors import UserError
from alexnet_lab.weights.caffe import read_caffemodel
from alexnet_lab.weights.foreign import adopt
from alexnet_lab.weights.pickled_file import is_pickled, read_pickled
from alexnet_lab.weights.safetensors_file import is_safetensors, load
from alexnet_lab.weights.torchvision_alexnet import read_state_dict
from alexnet_lab.weights.trained_network import TrainedNetwork, check_file

HDF5 = b"\x89HDF"


def import_weights(file: Path) -> TrainedNetwork:
    """The network in a file: our safetensors, torchvision's state dict (.pth) or Caffe's .caffemodel.

    What the file is, its first bytes say, not its name.
    Raises UserError, in one line, for a file that is none of them, is damaged, or holds another network.
    """
    check_file(file)
    with file.open("rb") as stream:
        head = stream.read(9)
    if is_safetensors(head):
        return load(file)
    if is_pickled(head):
        return adopt(read_state_dict(read_pickled(file), file), file)
    if head.startswith(HDF5):
        raise UserError(f"{file}: is an HDF5 file, which is not supported; use the .caffemodel that is not .h5")
    return adopt(read_caffemodel(file), file)
