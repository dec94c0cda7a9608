"""How a run is called on a tracker: its id, name, variant, group, tags and configuration, without private paths."""

from __future__ import annotations

import os
import re
import secrets
import string
from pathlib import Path
from typing import Any

from alexnet_lab.config.options import LoggerConfig, RunConfig
from alexnet_lab.core.environment import commit, hardware, versions
from alexnet_lab.core.files import write_text
from alexnet_lab.runs.config_snapshot import configuration
from alexnet_lab.runs.paths import readable

ID_FILE = "wandb_run_id"
# Settings that name folders of this machine, or where its owner fetches from: nobody else's business.
PATHS = ("data.root", "data.store_root", "data.url")
_CUT_KEY = "|".join(re.escape(key[:length]) for key in PATHS for length in range(len(key) + 1))
SINGLE = "single"  # group of runs that belong to no sweep


def run_id(folder: Path) -> str:
    """The run's id, kept in its folder: a run that is continued is the same run. Made where there is none.

    WANDB_RUN_ID gives the run another one, as agents of W&B's sweeps do before they start it.
    """
    path = folder / ID_FILE
    if given := os.environ.get("WANDB_RUN_ID"):
        write_text(path, given + "\n")
        return given
    try:
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        found = ""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found):
        found = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
        write_text(path, found + "\n")
    return found


def of_an_agent() -> bool:
    """Whether an agent of a W&B sweep has started this program."""
    return "WANDB_SWEEP_ID" in os.environ


def variant(run: RunConfig, folder: Path) -> str:
    """What sets the run apart in its sweep, but for the seed: "no-lrn", "model.lrn-true"; or its model."""
    if run.sweep is None:
        return run.model.name
    name = folder.name
    for key in PATHS:
        name = name.replace(readable(f"{key}={getattr(run.data, key.removeprefix('data.'), None)}"), "")
        name = name.partition(f"{key}-")[0]  # of a name that was cut short in the value
    name = re.sub(f"_({_CUT_KEY})-[0-9a-f]{{8}}$", "", name)
    name = re.sub(r"(^|_)seed-\d+(?=_|$)", "", name)
    return re.sub("_+", "_", name).strip("_") or run.model.name


def description(run: RunConfig, folder: Path, parameters: int, devices: int) -> dict[str, Any]:
    """What W&B is told of a run before it starts. Its own variables of the environment go before what is made here,
    and WANDB_PROJECT before a logger.project that was left as it is.
    """
    assert isinstance(run.logger, LoggerConfig)
    own_project = run.logger.project == LoggerConfig().project or of_an_agent()
    name = variant(run, folder)
    flat = {key: value for key, value in flatten(configuration(run)).items() if key not in (*PATHS, "import_from")}
    machine = {f"hardware.{key}": value for key, value in hardware().items()}
    libraries = {f"versions.{key}": value for key, value in versions().items()}
    facts = {"variant": name, "parameters": parameters, "hardware.devices": devices, "commit": commit()}
    return {
        "id": run_id(folder),
        "project": (own_project and os.environ.get("WANDB_PROJECT")) or run.logger.project,
        "name": os.environ.get("WANDB_NAME") or f"{name}_seed-{run.seed}",
        "notes": os.environ.get("WANDB_NOTES"),
        "group": os.environ.get("WANDB_RUN_GROUP") or run.sweep or SINGLE,
        "job_type": os.environ.get("WANDB_JOB_TYPE") or "train",
        "tags": [run.model.name, run.data.source, *filter(None, os.environ.get("WANDB_TAGS", "").split(","))],
        "config": flat | facts | machine | libraries,
    }


def flatten(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
