"""The trained network in a run folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from alexnet_lab.config import RunConfig
from alexnet_lab.config_checks import typed
from alexnet_lab.data.prepare import store_path
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store, open_store
from alexnet_lab.errors import UserError
from alexnet_lab.training import checkpoint_file
from alexnet_lab.training.same_run import configuration_of
from alexnet_lab.weights.pickled_file import read_pickled
from alexnet_lab.weights.trained_network import TrainedNetwork, assemble, checked_model

log = logging.getLogger(__name__)

CHECKPOINTS = ("best", "last")
PREFIX = "network."  # of the network's tensors in a checkpoint's state dict


def load_run(folder: Path, checkpoint: str = "best") -> TrainedNetwork:
    """The network of a run: of its best epoch (lowest validation top-1 error) or its last.

    The pixel mean and the classes' names come from the run's prepared pictures and are None where those are
    no longer there. Raises UserError for a folder that is not a run's, has no checkpoint, or is damaged.
    """
    if checkpoint not in CHECKPOINTS:
        raise UserError(f"checkpoint={checkpoint}: must be one of {', '.join(CHECKPOINTS)}")
    configuration = configuration_of(folder)
    model = checked_model(configuration.get("model"), folder / "config.yaml")
    file = folder / "checkpoints" / f"{checkpoint}.ckpt"
    if not file.exists():
        raise UserError(f"{file}: no such file; the run has not finished an epoch")
    checkpoint_file.check(file)
    content = read_pickled(file)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{file}: is not a checkpoint of a training run")
    tensors = {str(name)[len(PREFIX) :]: tensor for name, tensor in state.items() if str(name).startswith(PREFIX)}
    last = list(tensors.values())[-1] if tensors else None  # the biases of the last layer, one a class
    if last is None or last.dim() != 1 or not len(last):
        raise UserError(f"{file}: does not end with the biases of the network {model.name}")
    names = {name: PREFIX + name for name in tensors}
    network = assemble(model, len(last), tensors, file, names)
    store = _store(configuration)
    if store is None or len(store.class_names) != len(last):
        log.warning("the run's prepared pictures are not here: their mean and the classes' names are left out")
        return TrainedNetwork(network, model, len(last))
    mean = torch.tensor(store.pixel_mean, dtype=torch.float32)
    return TrainedNetwork(network, model, len(last), mean, list(store.class_names))


def _store(configuration: dict[str, Any]) -> Store | None:
    """The pictures that the run was trained on, if this machine has them prepared."""
    if "${" in repr(configuration):
        return None
    try:
        run = typed(OmegaConf.merge(OmegaConf.structured(RunConfig), configuration))  # type: ignore[arg-type]
        return open_store(store_path(Path(run.data.store_root), make_source(run.data), run.data.packing))
    except (UserError, OmegaConfBaseException, OSError):
        return None
