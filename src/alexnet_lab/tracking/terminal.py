"""A whole sweep in the terminal dashboard that wandb ships, without an account or a network."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alexnet_lab.core.errors import UserError
from alexnet_lab.tracking.wandb_access import QUIET


def watch(folder: Path) -> int:
    """Open every run of the sweep's folder; returns when the dashboard is left, with its exit code.

    The dashboard looks no deeper than one folder, and the runs lie in one each: so it gets a folder of links.
    Raises UserError where there is no run to show.
    """
    runs = sorted(path.absolute() for path in folder.glob("*/wandb/*run-*") if any(path.glob("*.wandb")))
    if not runs:
        raise UserError(f"{folder}: holds no runs of logger=wandb")
    with tempfile.TemporaryDirectory(prefix="alexnet-lab-wandb-") as scratch:
        links = Path(scratch) / folder.name
        links.mkdir()
        for run in runs:
            (links / run.name).symlink_to(run, target_is_directory=True)
        own = QUIET | dict.fromkeys(("WANDB_DIR", "WANDB_CACHE_DIR"), scratch)
        return subprocess.run([sys.executable, "-m", "wandb", "leet", str(links)], env=os.environ | own).returncode
