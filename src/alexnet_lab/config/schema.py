"""Hydra's view of the option classes."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore

from alexnet_lab.config.architectures import ModelConfig
from alexnet_lab.config.image_sources import DataConfig
from alexnet_lab.config.options import CHOICES, GROUPS, RunConfig


def register() -> None:
    """Make the classes known to Hydra: `schema` in each group is that of its default, `schema/CHOICE` of a choice."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig(model=ModelConfig(), data=DataConfig()))
    for group in GROUPS:
        store.store(group=group, name="schema", node=getattr(RunConfig(), group))
    for group, (key, classes) in CHOICES.items():
        for choice, kind in classes.items():
            store.store(group=f"{group}/schema", name=choice, node=kind(**{key: choice}))
