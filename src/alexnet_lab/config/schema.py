"""Hydra's view of the option classes."""

from __future__ import annotations

import dataclasses

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from alexnet_lab.config.architectures import ModelConfig
from alexnet_lab.config.image_sources import DataConfig
from alexnet_lab.config.options import (
    CHOICES,
    GROUPS,
    OWN,
    TRACKERS,
    LoggerConfig,
    RecipeConfig,
    RunConfig,
    TrackerConfig,
)
from alexnet_lab.config.own import OPEN


def register() -> None:
    """Make the classes known to Hydra: `schema` in each group is that of its default, `schema/CHOICE` of a choice."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=_run_schema())
    for group in GROUPS:
        # Of several trackers (logger=[wandb,csv]) each begins with the schema, which must not take back what the one
        # before has set; the run's own node has it as it is by default.
        options = (
            LoggerConfig(name=MISSING, **dict.fromkeys(map("with_{}".format, TRACKERS), MISSING))
            if group == "logger"
            else getattr(RunConfig(), group)
        )
        store.store(group=group, name="schema", node=_closed(options))
    for group, (key, classes) in CHOICES.items():
        for choice, kind in classes.items():
            store.store(group=f"{group}/schema", name=choice, node=_closed(kind(**{key: choice})))


def _run_schema() -> DictConfig:
    """A run whose groups have what all of their options have. An option of one's own adds keys: arguments of its class,
    which are checked when that is known. Built-in options close their group again.
    """
    common = {"model": ModelConfig, "data": DataConfig, "optim": RecipeConfig, "logger": TrackerConfig}
    run = RunConfig()
    for group, kind in common.items():
        own = OWN[group]()
        setattr(run, group, kind(**{item.name: getattr(own, item.name) for item in dataclasses.fields(kind)}))
    node: DictConfig = OmegaConf.structured(run)
    node.data.image_size = "${model.stored_size}"
    for group in (*OWN, *OPEN):
        node[group]._set_flag("struct", False)
    return node


def _closed(options: object) -> DictConfig:
    node: DictConfig = OmegaConf.structured(options, flags={"struct": True})
    return node
