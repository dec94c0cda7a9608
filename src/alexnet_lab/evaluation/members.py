"""The trained runs that answer together, and the images that they classify."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from alexnet_lab.config.image_sources import DataConfig
from alexnet_lab.config.options import RunConfig
from alexnet_lab.config.parts import refuse_strangers
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.module import ImageData
from alexnet_lab.data.store import Store
from alexnet_lab.runs.config_snapshot import CONFIG_FILE, configuration_of, run_of
from alexnet_lab.weights.run_folder import load_run
from alexnet_lab.weights.trained_network import TrainedNetwork

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One run's network in evaluation mode, with what it takes to ask it.

    crop: side in pixels. pixel_mean: float32 (S, S, 3), of the images that it was trained on. columns: int64
    (classes,), which of its answers belongs to each class of the images.
    """

    folder: Path
    network: nn.Module
    crop: int
    data: DataConfig
    pixel_mean: Tensor
    columns: Tensor


def load_members(
    folders: Sequence[Path], checkpoint: str, moved: Mapping[str, str], devices: int = 1, trust: bool = False
) -> tuple[list[Member], Store]:
    """The networks of these run folders and the images that all of them were validated on.

    checkpoint: "best" or "last". moved: data.root and data.store_root, where they are no longer those of the runs.
    With moved, these may be other images than the runs were trained on; their classes are matched by name.
    trust: whether networks and data sets that are not built in may be made.
    Raises UserError for folders that are no run's, damaged checkpoints, runs on different images, images that have
    changed since, and other classes.
    """
    members: list[Member] = []
    stores: list[Store] = []
    for folder in folders:
        run = _configuration(folder, moved, trust)
        run.trainer.devices, run.trainer.num_nodes, run.trainer.strategy = devices, 1, "ddp"  # whoever trained it
        trained = load_run(folder, checkpoint, trust)
        if members and run.data == members[-1].data:
            stores.append(stores[-1])
        else:
            images = ImageData(run)
            images.prepare_data()
            stores.append(images.store)
        classes = len(stores[-1].class_names)
        if trained.num_classes != classes:
            raise UserError(f"run={folder}: tells {trained.num_classes} classes apart, the images have {classes}")
        if stores[-1].identity != stores[0].identity:
            raise UserError(f"run={folder}: was validated on other images than run={folders[0]}; evaluate it alone")
        members.append(_member(folder, trained, run, stores[-1], bool(moved)))
    return members, stores[0]


def store_of(folder: Path) -> tuple[RunConfig, Store]:
    """The configuration of a run of one's own and the images that it was trained and validated on."""
    run = _configuration(folder, {}, trust=True)
    images = ImageData(run)
    images.prepare_data()
    return run, images.store


def _member(folder: Path, trained: TrainedNetwork, run: RunConfig, store: Store, moved: bool) -> Member:
    mean, columns = trained.pixel_mean, torch.arange(trained.num_classes)
    if mean is None or trained.class_names is None:
        log.warning("run=%s: does not know its images; mean and class names are those of %s", folder, store.path)
        mean = torch.tensor(store.pixel_mean)
    else:
        if len(mean) != store.image_size:
            raise UserError(f"run={folder}: its mean image has {len(mean)} pixels, {store.path} {store.image_size}")
        columns = torch.tensor(_columns(folder, trained.class_names, store))
    if trained.images is not None and trained.images != store.identity:
        if not moved:
            raise UserError(
                f"run={folder}: was trained on other images than are in {store.path} now; prepare the former again, "
                "or say data.root=DIR or data.store_root=DIR to evaluate it on others"
            )
        log.warning("run=%s: was trained on other images than are in %s", folder, store.path)
    return Member(folder, trained.network, run.model.input_size, run.data, mean, columns)


def _columns(folder: Path, names: list[str], store: Store) -> list[int]:
    """The number in `names` of each class of the store."""
    if names == store.class_names:
        return list(range(len(names)))
    for name in store.class_names:
        if name not in names:
            raise UserError(f"run={folder}: knows no class {name:.40}, which {store.path} has; it knows {_few(names)}")
    if len(set(names)) < len(names):
        raise UserError(f"run={folder}: two of its classes have the same name, and {store.path} has others")
    return [names.index(name) for name in store.class_names]


def _few(names: list[str]) -> str:
    return ", ".join(f"{name:.40}" for name in names[:5]) + (" ..." if len(names) > 5 else "")


def _configuration(folder: Path, moved: Mapping[str, str], trust: bool) -> RunConfig:
    settings = configuration_of(folder)
    refuse_strangers(settings, ("model", "data"), folder / CONFIG_FILE, trust)
    data = settings.get("data")
    if isinstance(data, dict) and "fractals" in data:  # config_snapshot.MIGRATIONS
        raise UserError(f"run={folder}: its images, fractals of an earlier version, are rendered no more")
    for key in moved:
        if isinstance(data, dict) and key.removeprefix("data.") not in data:
            raise UserError(f"{key}: run={folder} reads no folder; drop {key}")
    here = {"data": {key.removeprefix("data."): value for key, value in moved.items()}}
    return run_of(settings, folder / CONFIG_FILE, here)
