"""A run's configuration from Python, as the same words give it on the command line of src/train.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import open_dict
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.cli.command_line import check_arguments, explain
from alexnet_lab.cli.own_parts import add_folders
from alexnet_lab.config import schema
from alexnet_lab.config.checks import UnknownKeyError, typed
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import CONF
from alexnet_lab.runs.paths import quoted


def compose(*overrides: str, config_dir: str | PathLike[str] | None = None) -> RunConfig:
    """The checked configuration that `python src/train.py OVERRIDES` would train.

    config_dir: a folder of options and parts of one's own, as --config-dir names one.

    Needs nothing registered or initialized before, and leaves Hydra as it was. Raises UserError in one line.
    """
    check_arguments(list(overrides))
    schema.register()
    words = list(overrides)
    if config_dir is not None:
        folder = Path(config_dir).expanduser().resolve()
        if not folder.is_dir():
            raise UserError(f"config_dir={config_dir}: no such folder")
        words.append(f"hydra.searchpath=[{quoted(f'file://{folder}')}]")
    try:
        with _hydra_set_aside(), initialize_config_dir(str(CONF), version_base="1.3"):
            settings = hydra.compose("train", words, return_hydra_config=True)
        chosen = dict(settings.hydra.runtime.choices)
        sources = settings.hydra
        with open_dict(settings):
            del settings["hydra"]
        run = typed(settings, chosen)
        add_folders(run, sources)
        return run
    except UnknownKeyError as error:
        raise UserError(f"{error}: no such key; python src/train.py --cfg job lists every key") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from None


@contextmanager
def _hydra_set_aside() -> Iterator[None]:
    """What a notebook has initialized is there again afterwards; Hydra has one at a time."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        if before is not None:
            GlobalHydra.instance().initialize(before)
