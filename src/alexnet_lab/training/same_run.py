"""Whether what lies in a run folder was made with these settings: config.yaml and result.json say with which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.errors import UserError
from alexnet_lab.files import read_bytes

FILE_NAME = "config.yaml"
LARGEST = 2**18  # bytes; ours have thousands
DEEPEST = 20  # levels; ours have three

# Settings that change where or how visibly a run computes, not what it computes.
NOT_PART_OF_A_RESULT = (
    "sweep",
    "logger",
    "trainer.progress_bar",
    "trainer.log_every_n_steps",
    "trainer.collective_timeout",
    "trainer.checkpoint_minutes",
    "trainer.checkpoint_steps",
    "trainer.stuck_after",
    "data.store_root",
    "data.max_bad",
    "data.url",
    "data.workers",
    "data.placement",
)


def read_configuration(folder: Path) -> dict[str, Any] | None:
    """The config.yaml of a run folder as nested plain values, nothing looked up; None where there is none.

    Raises UserError where it is damaged, or where a few bytes of it would unfold into many (YAML's aliases).
    """
    path = folder / FILE_NAME
    try:
        text = read_bytes(path, LARGEST).decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases, which no configuration of ours has")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError("it is nested too deeply")
        content = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
        if not isinstance(content, dict):
            raise ValueError("it is no configuration")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, OmegaConfBaseException, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: is damaged ({reason:.120}); remove that folder and run again") from None
    return {str(key): value for key, value in content.items()}


def configuration_of(folder: Path) -> dict[str, Any]:
    """The configuration of a folder that must be a run's; raises UserError where it is none."""
    if not folder.is_dir():
        raise UserError(f"run={folder}: no such folder")
    configuration = read_configuration(folder)
    if configuration is None:
        raise UserError(f"run={folder}: is not a run folder, it has no {FILE_NAME}")
    return configuration


def difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    """The first setting that makes another result, as "key=old, not new"; None where the results are the same."""
    for key in sorted({*old, *new}):
        path = prefix + key
        if path in NOT_PART_OF_A_RESULT:
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            if inner := difference(before, after, path + "."):
                return inner
        elif before != after:
            return f"{path}={before!s:.80}, not {after!s:.80}"
    return None
