"""Weights that a run begins with: those of another run, or of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.layers import freeze, last_layer
from alexnet_lab.weights.file_kind import check_file
from alexnet_lab.weights.importing import import_weights
from alexnet_lab.weights.run_folder import read_checkpoint
from alexnet_lab.weights.trained_network import check_names, check_shape, checked_tensor, shapes_alone


@dataclass(frozen=True)
class InitialWeights:
    """The state dict of a trained network; class_names: what its last layer tells apart, None where that is unknown."""

    source: Path
    tensors: dict[str, Tensor]
    class_names: list[str] | None

    def digest(self) -> str:
        """SHA-256 of names, shapes and numbers: a path may hold something else tomorrow."""
        checksum = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            checksum.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            checksum.update(tensor.contiguous().numpy().tobytes())
        return checksum.hexdigest()


def read_initial_weights(source: str) -> InitialWeights:
    """What `init_from` names: a run folder (its best epoch), one of its checkpoints, or a file of weights.

    No code of the run is imported: tensors are all that is taken. Raises UserError where there are none.
    """
    path = Path(source).expanduser()
    try:
        return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)
    except UserError as error:
        raise UserError(f"init_from={error}") from None


@lru_cache(maxsize=1)  # the jobs of a sweep begin with the same ones
def _read(path: Path, _changed: int) -> InitialWeights:
    if path.is_dir():
        return InitialWeights(path, *read_checkpoint(path, "best"))
    check_file(path)
    if path.suffix == ".ckpt":
        return InitialWeights(path, *read_checkpoint(path.parent.parent, path.stem))
    trained = import_weights(path)
    return InitialWeights(path, dict(trained.network.state_dict()), trained.class_names)


@torch.no_grad()
def start_from(network: nn.Module, initial: InitialWeights, class_names: Sequence[str] | None) -> list[str]:
    """Put the initial weights into a network, in place. Returns the names of the tensors that stay as they are: the
    last layer's, unless it told the same classes apart. class_names: of the new images, None: others than any.

    Raises UserError, naming the tensor, where another layer is missing, too many, or of another shape.
    """
    own = network.state_dict()
    head = last_layer(network)
    of_head = {name for name in own if name.rpartition(".")[0] == head}
    same_classes = class_names is not None and initial.class_names == list(class_names)
    kept = [] if same_classes else sorted(of_head)
    wanted = {name: tensor for name, tensor in own.items() if name not in kept}
    found = {name: tensor for name, tensor in initial.tensors.items() if name not in kept}
    where, owner = Path(f"init_from={initial.source}"), "this run's network"
    check_names(found, wanted, owner, where)
    for name, tensor in wanted.items():
        check_shape(found[name], tuple(tensor.shape), name, owner, where)
        whole = torch.int64 if tensor.dtype == torch.int64 else torch.float32  # a counter of batch normalization
        numbers = checked_tensor(found[name], name, where, whole)
        if not tensor.is_meta:
            tensor.copy_(numbers)
    return kept


def check_initial_weights(run: RunConfig, num_classes: int) -> None:
    """Raise UserError, before a run begins, where `init_from` and `freeze` cannot do what they say."""
    assert run.init_from is not None
    initial = read_initial_weights(run.init_from)
    network = shapes_alone(run.model, num_classes, initial.source)
    start_from(network, initial, None)
    if run.freeze is not None:
        freeze(network, run.freeze)
