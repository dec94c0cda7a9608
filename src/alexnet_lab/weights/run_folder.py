"""The trained network in a run folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from alexnet_lab.config.architectures import OwnNetworkConfig
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.checkpoints import FOLDER
from alexnet_lab.runs.config_snapshot import CONFIG_FILE, configuration_of
from alexnet_lab.weights.pickled_file import read_pickled
from alexnet_lab.weights.trained_network import TrainedNetwork, assemble, checked_model

log = logging.getLogger(__name__)

CHECKPOINTS = ("best", "last")
PREFIX = "network."  # of the network's tensors in a checkpoint's state dict


def load_run(folder: Path, checkpoint: str = "best", trust: bool = False) -> TrainedNetwork:
    """The network of a run: of its best epoch (lowest validation top-1 error) or its last.

    The mean image and the classes' names are those of the images that it was trained on, which the checkpoint keeps
    (None in one of a version that did not). trust: whether a network that is not built in may be made.
    Raises UserError for a folder that is not a run's, has no checkpoint, or is damaged.
    """
    configuration = configuration_of(folder)
    refuse_strangers(configuration, ("model",), folder / CONFIG_FILE, trust)
    model = checked_model(configuration.get("model"), folder / CONFIG_FILE, trust)
    file, tensors, images = _read(folder, checkpoint)
    classes = images["classes"] if images is not None else None
    if not isinstance(model, OwnNetworkConfig):
        last = list(tensors.values())[-1] if tensors else None  # the biases of the last layer, one a class
        if last is None or last.dim() != 1 or not len(last):
            raise UserError(f"{file}: does not end with the biases of the network {model.name}")
        if images is not None and classes != len(last):
            raise UserError(f"{file}: tells {len(last)} classes apart and names {classes}; it is damaged")
        classes = len(last)
    if classes is None:
        raise UserError(f"{file}: does not say how many classes its network tells apart")
    network = assemble(model, classes, tensors, file, {name: PREFIX + name for name in tensors})
    if images is None:
        log.warning("%s: a version wrote it that kept no mean and no class names; they are left out", file)
        return TrainedNetwork(network, model, classes)
    names = list(images["class_names"])
    return TrainedNetwork(network, model, classes, images["pixel_mean"], names, images["identity"])


def read_checkpoint(folder: Path, checkpoint: str) -> tuple[dict[str, Tensor], list[str] | None]:
    """The tensors of a run's network by their names in it, and what its classes are called, where that is known.

    Neither the network nor anything else that the run names is made. Raises UserError as `load_run` does.
    """
    configuration_of(folder)
    _, tensors, images = _read(folder, checkpoint)
    return tensors, list(images["class_names"]) if images is not None else None


def _read(folder: Path, checkpoint: str) -> tuple[Path, dict[str, Tensor], dict[str, Any] | None]:
    """The checkpoint's file, the network's tensors in it, and what it keeps of the images."""
    if checkpoint not in CHECKPOINTS:
        raise UserError(f"checkpoint={checkpoint}: must be one of {', '.join(CHECKPOINTS)}")
    file = folder / FOLDER / f"{checkpoint}.ckpt"
    if not file.exists():
        raise UserError(f"{file}: no such file; the run has not finished an epoch")
    checkpoint_file.check(file)
    content = read_pickled(file)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file}: is not a checkpoint of a training run")
    tensors = {str(name)[len(PREFIX) :]: tensor for name, tensor in state.items() if str(name).startswith(PREFIX)}
    return file, tensors, checkpoint_file.kept_images(content, file)
