"""The original's network with other options where a test names them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.weights.external_weights import preset

original = functools.cache(lambda: preset("alexnet"))


def alexnet(num_classes: int = 1000, **options: Any) -> AlexNet:
    return AlexNet(num_classes, dataclasses.replace(original(), **options))
