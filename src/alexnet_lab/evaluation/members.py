"""The trained runs that answer together, and the pictures that they are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from alexnet_lab.config import DataConfig, RunConfig
from alexnet_lab.config_checks import typed
from alexnet_lab.data.module import PictureData
from alexnet_lab.data.store import Store
from alexnet_lab.errors import UserError
from alexnet_lab.training.same_run import configuration_of
from alexnet_lab.weights.run_folder import load_run


@dataclass(frozen=True)
class Member:
    """One run's network in evaluation mode, and the side of its crop in pixels."""

    folder: Path
    network: nn.Module
    crop: int
    data: DataConfig


def load_members(
    folders: Sequence[Path], checkpoint: str, moved: Mapping[str, str], devices: int = 1
) -> tuple[list[Member], Store]:
    """The networks of these run folders and the pictures that all of them were validated on.

    checkpoint: "best" or "last". moved: data.root and data.store_root, where they are no longer those of the runs.
    Raises UserError for folders that are no run's, damaged checkpoints, and runs on different pictures.
    """
    members: list[Member] = []
    stores: list[Store] = []
    for folder in folders:
        run = _configuration(folder, moved)
        run.trainer.devices, run.trainer.num_nodes = devices, 1
        trained = load_run(folder, checkpoint)
        if members and run.data == members[-1].data:
            stores.append(stores[-1])
        else:
            pictures = PictureData(run)
            pictures.prepare_data()
            stores.append(pictures.store)
        classes = len(stores[-1].class_names)
        if trained.num_classes != classes:
            raise UserError(f"run={folder}: tells {trained.num_classes} classes apart, the pictures have {classes}")
        if stores[-1].path != stores[0].path:
            raise UserError(f"run={folder}: was validated on other pictures than run={folders[0]}; evaluate it alone")
        members.append(Member(folder, trained.network, run.model.input_size, run.data))
    return members, stores[0]


def _configuration(folder: Path, moved: Mapping[str, str]) -> RunConfig:
    settings = configuration_of(folder)
    if "${" in repr(settings):
        raise UserError(f"{folder / 'config.yaml'}: refers to something outside the file")
    try:
        here = {"data": {key.removeprefix("data."): value for key, value in moved.items()}}
        merged = OmegaConf.merge(OmegaConf.structured(RunConfig), settings, here)
        return typed(merged)  # type: ignore[arg-type]
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{folder / 'config.yaml'}: is not one of this version ({reason:.120})") from None
    except UserError as error:
        hint = "; say data.root=DIR where they are now" if "data.root" in str(error) else ""
        raise UserError(f"{folder / 'config.yaml'}: {error}{hint}") from None
