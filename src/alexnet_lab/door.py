"""The check at the door: what cannot work is refused before a run folder is made."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict

from alexnet_lab import command_line
from alexnet_lab.config import RunConfig, typed
from alexnet_lab.errors import UserError


class DoorCheck(Callback):
    """Hydra calls this before it makes the run folder. (It swallows exceptions here, so the check exits.)"""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with command_line.one_line_errors():
            check_job(config)


def check_job(config: DictConfig) -> RunConfig:
    """The checked configuration of one job, given its composed configuration, Hydra's own part included.

    Raises UserError, or OmegaConf's error where a value is missing or cannot be resolved.
    """
    own = copy.deepcopy(config)
    with open_dict(own):
        del own["hydra"]
    run = typed(own)
    check_machine(run)
    return run


def check_machine(run: RunConfig) -> None:
    """Raise UserError where this machine lacks what the run needs: devices, pictures, a writable folder."""
    from alexnet_lab.data.sources import make_source

    make_source(run.data)
    for name in ("runs", run.data.store_root):
        there = next(path for path in (Path(name).absolute(), *Path(name).absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"{there}: may not be written; start from another folder or change its permissions")
    if run.trainer.accelerator == "gpu":
        import torch  # here, because it takes seconds to load and only this question needs it

        found = torch.cuda.device_count()
        if found < run.trainer.devices:
            raise UserError(
                f"trainer.devices={run.trainer.devices}: this machine has {found} GPUs; "
                "choose trainer=cpu, or fewer devices"
            )
