"""How a run is called on a tracker: its id, name, variant, group, tags and configuration, without private paths."""

from __future__ import annotations

import os
import re
import secrets
import string
import sys
from pathlib import Path
from typing import Any

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.environment import commit, hardware, versions
from alexnet_lab.core.environment_variables import looks_secret
from alexnet_lab.core.files import write_text
from alexnet_lab.runs.config_snapshot import configuration
from alexnet_lab.runs.paths import readable

ID_FILE = "wandb_run_id"
# Settings that name folders of this machine, or where its owner fetches from: nobody else's business.
PATHS = ("data.root", "data.store_root", "data.url")
_CUT_KEY = "|".join(re.escape(key[:length]) for key in PATHS for length in range(len(key) + 1))
SINGLE = "single"  # group of runs that belong to no sweep
PROJECT = "alexnet-lab"


def run_id(folder: Path, chosen: str | None = None) -> str:
    """The run's id, kept in its folder: a run that is continued is the same run. Made where there is none.

    chosen: by logger.wandb.id. WANDB_RUN_ID gives the run another one too, as agents of W&B's sweeps do before they
    start it, and then comes first.
    """
    path, told = folder / ID_FILE, os.environ.get("WANDB_RUN_ID")
    if given := (told or chosen if of_an_agent() else chosen or told):
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
    """What W&B is told of a run before it starts. What logger.wandb says goes before W&B's own variables of the
    environment, and these before what is made here; an agent's project goes before all.
    """
    said, told = run.logger.wandb, os.environ.get
    name = variant(run, folder)
    machine = {f"hardware.{key}": value for key, value in hardware().items()}
    libraries = {f"versions.{key}": value for key, value in versions().items()}
    facts = {"variant": name, "parameters": parameters, "hardware.devices": devices, "commit": commit()}
    project = told("WANDB_PROJECT")
    tags = [run.model.name, run.data.source, *filter(None, told("WANDB_TAGS", "").split(",")), *said.tags]
    return {
        "id": run_id(folder, said.id),
        "entity": said.entity,  # W&B's client reads WANDB_ENTITY itself
        "project": (project if of_an_agent() else None) or said.project or project or PROJECT,
        "name": said.name or told("WANDB_NAME") or f"{name}_seed-{run.seed}",
        "notes": said.notes or told("WANDB_NOTES"),
        "group": said.group or told("WANDB_RUN_GROUP") or run.sweep or SINGLE,
        "job_type": said.job_type or told("WANDB_JOB_TYPE") or "train",
        "tags": list(dict.fromkeys(tags)),
        "config": told_configuration(run) | facts | machine | libraries,
    }


def told_configuration(run: RunConfig) -> dict[str, Any]:
    """What trackers are told of a run's configuration: neither folders of this machine nor how trackers are reached."""
    flat = flatten(configuration(run))
    return {
        key: value
        for key, value in flat.items()
        if key not in (*PATHS, "import_from", "init_from") and not key.startswith("logger.")
    }


def session(run: RunConfig) -> dict[str, Any]:
    """How W&B is to be reached and what it may know of this machine; nothing of it where that is private."""
    said = run.logger.wandb
    found = {"mode": said.mode, "resume": said.resume or os.environ.get("WANDB_RESUME") or "allow"}
    if said.private:
        return found
    return found | {"machine": {"command": [shown(word) for word in sys.argv], "folder": str(Path.cwd())}}


def shown(word: str) -> str:
    """A word of the command line without what nobody else is to see: the value of a key that looks like a secret, and
    the name and password in an address.
    """
    key, equals, _ = word.partition("=")
    if equals and looks_secret(key):
        return f"{key}=..."
    return re.sub(r"(?<=://)[^/@\s]*@", "", word)


def flatten(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
