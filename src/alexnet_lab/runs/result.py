"""result.json: a finished run in one file. Tables are made from these files and from nothing else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.config.options import plain, schema_of
from alexnet_lab.config.own import is_own
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import read_json
from alexnet_lab.runs.config_snapshot import VERSION, migrated

SCHEMA_VERSION = VERSION
RESULT_FILE = "result.json"

NUMBER = (int, float)
# What is read from results, by the part of the result that it is in; numbers are no less than 0.
KINDS: dict[str, dict[str, Any]] = {
    "": {"status": str, "seed": int, "parameters": int, "epochs": int, "steps": int, "wall_seconds": NUMBER},
    "metrics": {"val_top1_error": NUMBER, "val_top5_error": NUMBER},
    "hardware": {"processor": str, "cores": int, "threads": int, "devices": int, "gpus": list},
    "versions": {"torch": str, "lightning": str},
    "config": {"model": dict, "data": dict},
}
PART = {
    "from_step": int,
    "commit": str,
    "threads": int,
    "devices": int,
    "processor": str,
    "gpus": list,
    "versions": dict,
}
# What tables and terminals show: there every character has to be a visible one.
SHOWN = ("partial", "hardware.", "versions.", "commit", "status", "parts", "config.model.name", "config.data.source")
CONTROL = ("Cc", "Cs", "Zl", "Zp")  # line and control characters, broken surrogates
LARGEST_NUMBER = 2**63
LIMITS = ("fast_dev_run", "overfit_batches", "limit_train_batches", "limit_val_batches")  # after which it is partial


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result in a run folder, or None where the run has not ended well.

    Raises UserError where the file is damaged, since it was written whole, or says what cannot be; and where it is of
    a later version. Its configuration is as this version has it, whatever version wrote it.
    """
    path = folder / RESULT_FILE
    try:
        result = read_json(path)
        if not isinstance(result, dict):
            raise ValueError("it is no result")
        _check_values(result)
        _check(result)
        complete = set(plain(schema_of(result["config"]))["model"]) <= result["config"]["model"].keys()
        result["config"] = migrated(result["config"], result.get("schema_version"), path)
        _check_consistency(folder, result, complete)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove that folder and run again") from None
    return result if result.get("status") == "completed" else None


def refuse_partial(folder: Path, result: Mapping[str, Any]) -> None:
    """Raise UserError where a run saw a part of the data alone: its error is none to compare with others."""
    if partial := result.get("partial"):
        raise UserError(
            f"{folder}: saw a part of the data alone ({', '.join(partial)[:200]}), which enters no table; remove that "
            "folder, and run again without"
        )


def _check_values(value: Any, key_path: str = "") -> None:
    """Raise ValueError for numbers that no run has, and text that would change the lines of a table or a terminal."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_values(key, key_path)
            _check_values(inner, f"{key_path}.{key}" if key_path else key)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, key_path)
    elif isinstance(value, str):
        shown = key_path.startswith(SHOWN)
        if any(unicodedata.category(c) in CONTROL or (shown and not c.isprintable()) for c in value):
            raise ValueError(f"{key_path or 'a key'} holds control characters")
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise ValueError(f"{key_path} is a number of {len(hex(value)) - 2} hexadecimal digits")


def _check(result: dict[str, Any]) -> None:
    """Raise ValueError where something that is read from results is missing or of another kind."""
    for group, kinds in KINDS.items():
        part = result if group == "" else result.get(group)
        if not isinstance(part, dict):
            raise ValueError(f"it has no {group}")
        for key, kind in kinds.items():
            value = part.get(key)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
            if not isinstance(value, kind) or (kind in (int, NUMBER) and not number):
                raise ValueError(f"{group + '.' if group else ''}{key} is {value!r:.40}")
    for key, value in result["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"metrics.{key:.40} is {value!r:.40}")
        if key.endswith("_error") and not 0 <= value <= 1:
            raise ValueError(f"metrics.{key:.40} is {value!r:.40}, not from 0 to 1")
        if key.endswith("_loss") and not value >= 0:
            raise ValueError(f"metrics.{key:.40} is {value!r:.40}, below 0 or no number")
    if "images" in result:  # which versions before 2 did not keep
        images = result["images"]
        if not isinstance(images, dict) or not re.fullmatch("[0-9a-f]{64}", str(images.get("identity"))):
            raise ValueError("images.identity is no checksum")
        for key in ("classes", "train", "val"):
            if type(images.get(key)) is not int or images[key] < 1:
                raise ValueError(f"images.{key} is {images.get(key)!r:.40}")
    for group, key in (("model", "name"), ("data", "source"), ("data", "image_size")):
        part = result["config"].get(group)
        if not isinstance(part, dict) or not isinstance(part.get(key), int if key == "image_size" else str):
            raise ValueError(f"it has no config.{group}.{key}")
    partial = result.get("partial", [])  # which versions before the limits of data did not have
    if not isinstance(partial, list) or not all(isinstance(setting, str) for setting in partial):
        raise ValueError("partial is no list of settings")
    parts = result.get("parts", [])  # which version 1 did not keep
    if not isinstance(parts, list) or any(
        not isinstance(part, dict) or any(not isinstance(part.get(key), kind) for key, kind in PART.items())
        for part in parts
    ):
        raise ValueError("parts is not what computed each part of the run")


def _check_consistency(folder: Path, result: dict[str, Any], complete: bool) -> None:
    """Raise ValueError where a result contradicts itself, its configuration or the name of its folder.

    complete: whether its configuration had every option of the network, so that the parameters can be counted.
    """
    metrics, config = result["metrics"], result["config"]
    if metrics["val_top5_error"] > metrics["val_top1_error"]:
        raise ValueError("its top-5 error is above its top-1 error")
    if metrics.get("best_val_top1_error", 0) > metrics["val_top1_error"]:
        raise ValueError("its best error is above its last one")
    if not 1 <= metrics.get("best_epoch", 1) <= result["epochs"]:
        raise ValueError(f"its best epoch is {metrics['best_epoch']!r:.40}, of {result['epochs']}")
    named = re.findall(r"(?:^|_)seed-(\d+)(?=_|$)", folder.name)
    for seed, where in ((config.get("seed"), "its configuration"), (int(named[0]) if named else None, "its folder")):
        if seed is not None and seed != result["seed"]:
            raise ValueError(f"its seed is {result['seed']}, and that of {where} {seed!s:.40}")
    trainer = config.get("trainer")
    short = bool(config.get("callbacks")) and isinstance(trainer, dict) and 0 < result["epochs"] < trainer["max_epochs"]
    if (
        isinstance(trainer, dict)
        and trainer["max_epochs"] != result["epochs"]
        and not short
        and not result.get("partial")
    ):  # ended by a callback
        raise ValueError(f"it has {result['epochs']} epochs, and its configuration {trainer['max_epochs']!s:.40}")
    limits = [key for key in LIMITS if isinstance(trainer, dict) and trainer.get(key)]
    if limits and not result.get("partial"):
        raise ValueError(
            f"trainer.{limits[0]} of its configuration leaves a part of the data, and it says nothing of that"
        )
    classes = config["data"].get("num_classes") if config["data"]["source"] == "fractals" else None
    if "images" in result:
        classes = result["images"]["classes"]
    if complete and type(classes) is int and not is_own(config["model"]):  # whose code alone knows how many it has
        expected = _parameters(config, classes)
        if expected != result["parameters"]:
            raise ValueError(f"it has {result['parameters']} parameters, and its configuration {expected}")


def _parameters(config: dict[str, Any], classes: int) -> int:
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema_of(config).model), config["model"])
        model: Any = OmegaConf.to_object(merged)
        return int(model.number_of_parameters(classes))
    except (OmegaConfBaseException, ArithmeticError, ValueError, TypeError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"its network cannot be built ({reason:.80})") from None
