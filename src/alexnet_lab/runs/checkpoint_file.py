"""The bytes of a checkpoint: what torch.save writes, with a checksum that finds any changed or missing byte.

torch.save writes a zip archive, and a zip archive may end with a comment: the SHA-256 of all that precedes the
comment stands there. So a checkpoint is one file that appears with its checksum or not at all, and every program
that reads torch's files reads it.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import open_regular
from alexnet_lab.core.stored_archive import check_stored

LABEL = b"sha256:"
PARTS = {
    "place": dict, "configuration": dict, "state_dict": dict, "loops": dict, "callbacks": dict, "global_step": int,
    "optimizer_states": list, "lr_schedulers": list, "training_metrics": list,
}  # fmt: skip
IDENTITY = re.compile("[0-9a-f]{64}")
COMMENT_SIZE = len(LABEL) + 2 * hashlib.sha256().digest_size


def to_bytes(checkpoint: dict[str, Any]) -> memoryview:
    """The whole file. Tensors are copied from where they are, so training may go on as soon as this returns."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    buffer.seek(-2, io.SEEK_END)  # the archive's last field: the length of its comment
    buffer.write(COMMENT_SIZE.to_bytes(2, "little"))
    return buffer.getbuffer()


def seal(content: memoryview) -> bytes:
    """The comment that ends the file of this content."""
    return LABEL + hashlib.sha256(content).hexdigest().encode()


def check(path: Path) -> None:
    """Raise UserError where the file is not, byte by byte, what was written. Nothing in it is interpreted."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            checksum, left = hashlib.sha256(), size - COMMENT_SIZE
            while left > 0 and (block := file.read(min(left, 1 << 20))):
                checksum.update(block)
                left -= len(block)
            comment = file.read(COMMENT_SIZE + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if left or comment != LABEL + checksum.hexdigest().encode():
        raise UserError(f"{path}: is damaged or cut short, its checksum does not fit")


def read(path: Path) -> dict[str, Any]:
    """A checkpoint on the CPU, with nothing in it but tensors and plain values.

    Raises UserError for a file that is damaged or is no checkpoint; the checksum is checked before torch sees it.
    """
    check(path)
    check_stored(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a stranger's file may carry a checksum that fits
        raise UserError(f"{path}: is no checkpoint of this program ({type(error).__name__})") from None
    if not isinstance(checkpoint, dict) or any(
        not isinstance(checkpoint.get(name), kind) for name, kind in PARTS.items()
    ):
        raise UserError(f"{path}: is no checkpoint of a run of this program")
    version = checkpoint.setdefault("version", 1)
    if type(version) is not int or version < 1:
        raise UserError(f"{path}: is no checkpoint of a run of this program, its version is {version!r:.40}")
    kept_images(checkpoint, path)
    return checkpoint


def kept_images(checkpoint: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """What a run keeps of its images; None in a checkpoint of a version that kept nothing of them.

    identity: of their store; class_names: in the order of the network's answers; train, val: numbers of images;
    pixel_mean: float32 (S, S, 3) on 0..255; color_axes: float32 (3, 3), column i is p_i sqrt(l_i).
    Raises UserError where it is something else.
    """
    if "images" not in checkpoint:
        return None
    images = checkpoint["images"]
    if not isinstance(images, dict) or not _are_kept_images(images):
        raise UserError(f"{path}: what it says of the run's images is damaged, or of another version")
    return images


def _are_kept_images(images: dict[str, Any]) -> bool:
    names, mean, axes = (images.get(key) for key in ("class_names", "pixel_mean", "color_axes"))
    return (
        isinstance(images.get("identity"), str)
        and IDENTITY.fullmatch(images["identity"]) is not None
        and all(type(images.get(split)) is int for split in ("train", "val"))
        and isinstance(names, list)
        and len(names) == images.get("classes")
        and all(isinstance(name, str) for name in names)
        and isinstance(mean, Tensor)
        and mean.dtype == torch.float32
        and mean.dim() == 3
        and mean.shape == (len(mean), len(mean), 3)
        and bool(torch.isfinite(mean).all())
        and isinstance(axes, Tensor)
        and axes.shape == (3, 3)
    )
