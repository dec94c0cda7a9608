"""AlexNet Lab: the experiments of Krizhevsky, Sutskever and Hinton (2012), one command each.

What `__all__` names is the public API (docs/api.md); it is loaded when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet_lab.cli.composed import compose
    from alexnet_lab.core.errors import UserError
    from alexnet_lab.data.module import ImageData
    from alexnet_lab.evaluation.image_classifier import ImageClassifier, Prediction, load
    from alexnet_lab.networks.build import build_network
    from alexnet_lab.training.module import Classifier

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "ImageClassifier",
    "ImageData",
    "Prediction",
    "UserError",
    "build_network",
    "compose",
    "load",
]

_MODULES = {
    "Classifier": "alexnet_lab.training.module",
    "ImageClassifier": "alexnet_lab.evaluation.image_classifier",
    "ImageData": "alexnet_lab.data.module",
    "Prediction": "alexnet_lab.evaluation.image_classifier",
    "UserError": "alexnet_lab.core.errors",
    "build_network": "alexnet_lab.networks.build",
    "compose": "alexnet_lab.cli.composed",
    "load": "alexnet_lab.evaluation.image_classifier",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
