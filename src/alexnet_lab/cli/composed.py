"""A run's configuration from Python, as the same words give it on the command line of src/train.py."""

from __future__ import annotations

import hydra
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.cli.command_line import check_arguments, explain
from alexnet_lab.config import schema
from alexnet_lab.config.checks import UnknownKeyError, typed
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import CONF


def compose(*overrides: str) -> RunConfig:
    """The checked configuration that `python src/train.py OVERRIDES` would train.

    Needs nothing registered or initialized before, and leaves Hydra as it was. Raises UserError in one line.
    """
    check_arguments(list(overrides))
    schema.register()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return typed(hydra.compose("train", list(overrides)))
    except UnknownKeyError as error:
        raise UserError(f"{error}: no such key; python src/train.py --cfg job lists every key") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from None
