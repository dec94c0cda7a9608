"""What a file of weights is: its first bytes say, not its name. Loads no torch, so a wrong file is refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.stored_archive import ZIP

Kind = Literal["safetensors", "pickled", "caffemodel"]

LEGACY_PICKLE = b"\x80"  # torch.save before PyTorch 1.6
HDF5 = b"\x89HDF"
# How a field of Caffe's message NetParameter begins, by its number and type: numbers 1 to 8, and 100, the layers.
CAFFE_FIELDS = (b"\x0a", b"\x12", b"\x1a", b"\x20", b"\x28", b"\x32", b"\x38", b"\x42", b"\xa2\x06")


def kind_of(file: Path) -> Kind:
    """Ours (safetensors), one of torch.save, or Caffe's. Raises UserError for what is no file, or none of these."""
    check_file(file)
    with file.open("rb") as stream:
        head = stream.read(9)
    if head[8:] == b"{":  # the length of a header, which is JSON
        return "safetensors"
    if head.startswith((ZIP, LEGACY_PICKLE)):
        return "pickled"
    if head.startswith(CAFFE_FIELDS):
        return "caffemodel"
    if head.startswith(HDF5):
        raise UserError(f"{file}: is an HDF5 file, which is not supported; use the .caffemodel that is not .h5")
    raise UserError(f"{file}: is damaged, or not a file of weights")


def check_file(file: Path) -> None:
    """Raise UserError for what is not a file with something in it."""
    if not file.exists():
        raise UserError(f"{file}: no such file")
    if not file.is_file():
        raise UserError(f"{file}: is not a file; name the file that holds the weights")
    try:
        with file.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None
    if empty:
        raise UserError(f"{file}: is empty")
