"""A data set of one's own as a source of images: a torch Dataset, one object a split."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_lab.config.image_sources import OwnDataConfig
from alexnet_lab.config.parts import failed, found, is_installed, make, takes
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.chunk import Chunk, make_chunk
from alexnet_lab.data.image import as_rgb, square

_IMAGES_PER_CHUNK = 128
_SPLITS = ("train", "val")


class OwnDataSet:
    """Images of any size: the middle of each, resized, as of image files.

    The class that the configuration names is made for each split, with split=NAME or train=true or false, whichever
    it takes. An item is (image, class number from 0): a PIL image, or uint8 [H, W, 3], [H, W] or, of torch, [3, H, W].
    """

    def __init__(self, data: OwnDataConfig) -> None:
        self._data, self.image_size = data, data.image_size
        self.name = re.sub(r"[^A-Za-z0-9_]+", "-", data.source).strip("-") or "own"

    def check(self) -> None:
        """Raise UserError where the data set cannot be made, or its first items are no images with class numbers."""
        names = self.class_names
        if len(set(names)) < len(names):
            raise UserError(f"data: {self._data._target_} names a class twice")
        for split in _SPLITS:
            if not self.count(split):
                raise UserError(f"data: {self._data._target_} has no images in {self._split_name(split)}")
            self._item(split, 0)

    def settings(self) -> dict[str, Any]:
        data = self._data
        told = {"target": data._target_, "arguments": data.arguments, "splits": data.splits, "classes": data.classes}
        return {**told, "image_size": self.image_size}

    def facts(self) -> dict[str, Any]:
        return {"code": self._code()}

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return None if facts.get("code") == self._code() else f"the code of {self._data._target_} has changed"

    @cached_property
    def class_names(self) -> Sequence[str]:
        names = self._data.classes or getattr(self._made["train"], "classes", None)
        if names is None:
            raise UserError(f"data: {self._data._target_} has no attribute classes; name them with data.classes=[A,B]")
        return [str(name) for name in names]

    def count(self, split: str) -> int:
        try:
            return len(self._made[split])
        except TypeError:
            raise UserError(f"data: {self._data._target_} has no length; it needs __len__ and __getitem__") from None

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        for split, first in starts.items():
            for start in range(first, self.count(split), _IMAGES_PER_CHUNK):
                items = [self._item(split, i) for i in range(start, min(start + _IMAGES_PER_CHUNK, self.count(split)))]
                labels = np.array([label for _, label in items], dtype=np.int64)
                yield split, make_chunk(np.stack([image for image, _ in items]), labels, packing)

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {split: make("data", self._data, **self._given(split)) for split in _SPLITS}

    def _given(self, split: str) -> dict[str, Any]:
        function = found("data", self._data._target_)
        given: dict[str, Any] = {"image_size": self.image_size} if takes(function, "image_size") else {}
        if takes(function, "split"):
            return {**given, "split": self._split_name(split)}
        if takes(function, "train"):
            return {**given, "train": split == "train"}
        raise UserError(f"data: {self._data._target_} takes neither split nor train, by which it would give its images")

    def _split_name(self, split: str) -> str:
        return self._data.splits[_SPLITS.index(split)]

    def _item(self, split: str, index: int) -> tuple[NDArray[np.uint8], int]:
        place = f"data: image {index} of {self._split_name(split)}"
        try:
            image, label = self._made[split][index]
            number = int(label)
        except Exception as error:  # of somebody's code, as many kinds as there are
            raise failed("data", f"image {index} of {self._split_name(split)}", error) from error
        classes = len(self.class_names)
        if not 0 <= number < classes:
            raise UserError(f"{place} is of class {number}, and the classes are from 0 to {classes - 1}")
        return square(as_rgb(_as_image(image, place)), self.image_size), number

    def _code(self) -> str:
        """A checksum of the module that the class is in; of an installed one, whose code has a version, its name."""
        module = sys.modules.get(getattr(found("data", self._data._target_), "__module__", ""))
        file = Path(getattr(module, "__file__", None) or "")
        own = file.is_file() and not is_installed(file)
        return sha256(file.read_bytes()).hexdigest() if own else self._data._target_


def _as_image(image: Any, place: str) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    array = np.asarray(image)
    if not isinstance(image, np.ndarray) and array.ndim == 3:  # torch has the channels first
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] != 3):
        raise UserError(
            f"{place} is {array.dtype} {list(array.shape)}; give PIL images, or uint8 [H, W, 3] without ToTensor and "
            "Normalize, whose work is done here"
        )
    return Image.fromarray(array)
