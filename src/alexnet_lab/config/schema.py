"""Hydra's view of the option classes."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore

from alexnet_lab.config.options import GROUPS, RunConfig


def register() -> None:
    """Make the classes known to Hydra under the names that `conf/` refers to."""
    store = ConfigStore.instance()
    store.store(name="run_schema", node=RunConfig)
    for group, node in GROUPS.items():
        store.store(group=group, name="schema", node=node)
