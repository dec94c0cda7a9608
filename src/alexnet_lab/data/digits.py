"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 greys, which need no download."""

from __future__ import annotations

from typing import Any

import numpy as np

from alexnet_lab.data.array_source import Arrays, ArraySource, part_of_each_class


class DigitsSource(ArraySource):
    """The test set of the UCI collection by Alpaydin and Kaynak (1998), white on black.

    It has no validation images of its own: `val_fraction` of each class, chosen by `split_seed`, is taken.
    """

    name = "digits"
    class_names = tuple("0123456789")

    def __init__(self, image_size: int, val_fraction: float, split_seed: int) -> None:
        super().__init__(image_size)
        self._val_fraction, self._seed = val_fraction, split_seed

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "val_fraction": self._val_fraction, "split_seed": self._seed}

    def load(self) -> Arrays:
        from sklearn.datasets import load_digits  # here, because it takes a second to load

        digits = load_digits()
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
        images, labels = np.repeat(grey[..., np.newaxis], 3, axis=-1), digits.target.astype(np.int64)
        held_out = part_of_each_class(labels, self._val_fraction, self._seed)
        return {"train": (images[~held_out], labels[~held_out]), "val": (images[held_out], labels[held_out])}
