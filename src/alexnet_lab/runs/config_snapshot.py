"""Whether what lies in a run folder was made with these settings: config.yaml and result.json say with which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.config.checks import typed
from alexnet_lab.config.image_sources import DataConfig, FractalsConfig
from alexnet_lab.config.options import RunConfig, plain, schema_of, with_arguments, without_others
from alexnet_lab.config.own import OPEN, is_own
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_bytes

CONFIG_FILE = "config.yaml"
# Of what lies in a run folder; config.yaml, result.json and checkpoints say it. Raise it where an option is renamed, or
# where its default is not what was done before there was one, and say in MIGRATIONS what that means for older folders.
VERSION = 2
LARGEST = 2**18  # bytes; ours have thousands
DEEPEST = 20  # levels; ours have three

# Settings that change where or how visibly a run computes, not what it computes.
NOT_PART_OF_A_RESULT = (
    "sweep",
    "logger",
    "import_from",
    "trainer.progress_bar",
    "trainer.enable_progress_bar",
    "trainer.num_sanity_val_steps",
    "trainer.detect_anomaly",
    "trainer.profiler",
    "trainer.inference_mode",
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
# What else may be another when a run goes on: how many devices compute, and how they share the work. Up to rounding and
# dropout they compute the same, and result.json keeps which steps were computed how.
MAY_CHANGE_ON_THE_WAY = ("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy")


def _from_1(settings: dict[str, Any]) -> None:
    data = settings.get("data")
    if isinstance(data, dict) and data.get("source") == "fractals" and "class_colour" not in data:
        data["fractals"] = "of an earlier version, which are rendered no more"  # no option has this name: refused


# Options that configurations of every source had and fractals alone read.
OF_FRACTALS = FractalsConfig.__dataclass_fields__.keys() - DataConfig.__dataclass_fields__.keys()

# By version: what makes a configuration of that version, in place, one of the next.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], None]] = {1: _from_1}


def migrated(settings: dict[str, Any], version: Any, file: Path) -> dict[str, Any]:
    """A configuration as this version has it. An option that it lacks was not there yet and means its default; the
    defaults of options that belong to another network or source than its own are left out.

    Raises UserError for one of a later version, and ValueError where `version` is no version.
    """
    if type(version) is not int or version < 1:
        raise ValueError(f"its version is {version!r:.40}")
    if version > VERSION:
        raise UserError(f"{file}: is of version {version}, this program reads {VERSION} and earlier; use a newer one")
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in settings.items()}
    for number in range(version, VERSION):
        MIGRATIONS[number](made)
    data = made.get("data")
    if isinstance(data, dict) and not is_own(data) and data.get("source", "fractals") != "fractals":
        made["data"] = {key: value for key, value in data.items() if key not in OF_FRACTALS}
    made = without_others(made)
    for group, options in plain(schema_of(made)).items():
        if isinstance(options, dict) and isinstance(made.get(group), dict):
            made[group] = {**options, **made[group]}
        elif group in OPEN:  # which earlier versions did not have
            made.setdefault(group, {})
    return made


def configuration(run: RunConfig) -> dict[str, Any]:
    """The run's configuration as a nested dictionary of plain values."""
    return plain(run)


def to_yaml(run: RunConfig) -> str:
    """The text of config.yaml."""
    return f"version: {VERSION}\n{OmegaConf.to_yaml(OmegaConf.create(plain(run)))}"


def read_configuration(folder: Path) -> dict[str, Any] | None:
    """The config.yaml of a run folder as nested plain values, nothing looked up; None where there is none.

    It is as this version has it, whatever version wrote it. Raises UserError where it is damaged or of a later one, or
    where a few bytes of it would unfold into many (YAML's aliases).
    """
    path = folder / CONFIG_FILE
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
        version = content.pop("version", 1)
        return migrated({str(key): value for key, value in content.items()}, version, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, OmegaConfBaseException, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path}: is damaged ({reason:.120}); remove that folder and run again") from None


def configuration_of(folder: Path) -> dict[str, Any]:
    """The configuration of a folder that must be a run's; raises UserError where it is none."""
    if not folder.is_dir():
        raise UserError(f"run={folder}: no such folder")
    found = read_configuration(folder)
    if found is None:
        raise UserError(f"run={folder}: is not a run folder, it has no {CONFIG_FILE}")
    return found


def run_of(settings: dict[str, Any], file: Path, here: Mapping[str, Any] | None = None) -> RunConfig:
    """The checked run of a configuration that came with a file, which is as this version has it.

    here: what of it is otherwise here, nested. Raises UserError for what is not one of this version, or cannot work.
    """
    if "${" in repr(settings):
        raise UserError(f"{file}: refers to something outside the file")
    try:
        told: Any = OmegaConf.to_container(OmegaConf.merge(settings, here or {}))
        merged = OmegaConf.merge(OmegaConf.structured(schema_of(settings)), with_arguments(told))
        return typed(merged)  # type: ignore[arg-type]
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{file}: is not one of this version ({reason:.120})") from None
    except UserError as error:
        hint = "; say data.root=DIR where they are now" if "data.root" in str(error) else ""
        raise UserError(f"{file}: {error}{hint}") from None


def _is_read_by_no_rule(path: str, settings: Mapping[str, Any]) -> bool:
    """Whether it is the batch that the learning rate is meant for, of a recipe whose rate follows no batch."""
    return path == "optim.reference_batch_size" and settings.get("learning_rate_rule", "none") == "none"


def settings_of_result(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """What a result depends on but the seed: each setting by its dotted key, lists whole."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{prefix}{key}"
        if path == "seed" or path in NOT_PART_OF_A_RESULT or _is_read_by_no_rule(path, settings):
            continue
        found |= settings_of_result(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def refuse_other_settings(folder: Path, made_with: dict[str, Any], run: RunConfig, complete: bool = True) -> None:
    """Raise UserError where a folder's run was made with settings that make another result than this run's.

    complete: False for a run that is to be continued, perhaps on other devices.
    """
    if other := first_difference(made_with, configuration(run), "", () if complete else MAY_CHANGE_ON_THE_WAY):
        raise UserError(f"{folder}: was made with {other}; choose another sweep=NAME or folder, or remove that one")


def first_difference(
    old: dict[str, Any], new: dict[str, Any], prefix: str = "", besides: Sequence[str] = ()
) -> str | None:
    """The first setting that makes another result, as "key=old, not new"; None where the results are the same.

    besides: further settings that make none.
    """
    for key in sorted({*old, *new}):
        path = prefix + key
        if path in NOT_PART_OF_A_RESULT or path in besides:
            continue
        if _is_read_by_no_rule(path, old) and _is_read_by_no_rule(path, new):
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            if inner := first_difference(before, after, path + ".", besides):
                return inner
        elif before != after:
            return f"{path}={before!s:.80}, not {after!s:.80}"
    return None
