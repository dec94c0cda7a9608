"""result.json: a finished run in one file. Tables are made from these files and from nothing else."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from alexnet_lab.config import RunConfig
from alexnet_lab.errors import UserError
from alexnet_lab.files import read_json

SCHEMA_VERSION = 1
FILE_NAME = "result.json"

NUMBER = (int, float)
# What is read from results, by its place in them; numbers are no less than 0.
KINDS: dict[str, dict[str, Any]] = {
    "": {"status": str, "seed": int, "parameters": int, "epochs": int, "steps": int, "wall_seconds": NUMBER},
    "metrics": {"val_top1_error": NUMBER, "val_top5_error": NUMBER},
    "hardware": {"processor": str, "cores": int, "threads": int, "devices": int, "gpus": list},
    "versions": {"torch": str, "lightning": str},
    "config": {"model": dict, "data": dict},
}


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result in a run folder, or None where the run has not ended well.

    Raises UserError where the file is damaged: it was written whole, so somebody or some disk has changed it.
    """
    path = folder / FILE_NAME
    try:
        result = read_json(path)
        _check(result)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove that folder and run again") from None
    return result if result.get("status") == "completed" else None


def _check(result: Any) -> None:
    """Raise ValueError where something that is read from results is missing or of another kind."""
    if not isinstance(result, dict):
        raise ValueError("it is no result")
    for place, kinds in KINDS.items():
        part = result if place == "" else result.get(place)
        if not isinstance(part, dict):
            raise ValueError(f"it has no {place}")
        for key, kind in kinds.items():
            value = part.get(key)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
            if not isinstance(value, kind) or (kind in (int, NUMBER) and not number):
                raise ValueError(f"{place + '.' if place else ''}{key} is {value!r:.40}")
    for key, value in result["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"metrics.{key:.40} is {value!r:.40}")
        if key.endswith("_error") and not 0 <= value <= 1:
            raise ValueError(f"metrics.{key:.40} is {value!r:.40}, not from 0 to 1")
    if "images" in result:  # which versions before 2 did not keep
        images = result["images"]
        if not isinstance(images, dict) or not re.fullmatch("[0-9a-f]{64}", str(images.get("identity"))):
            raise ValueError("images.identity is no checksum")
        for key in ("classes", "train", "val"):
            if type(images.get(key)) is not int or images[key] < 1:
                raise ValueError(f"images.{key} is {images.get(key)!r:.40}")
    for place, key in (("model", "name"), ("data", "source"), ("data", "image_size")):
        part = result["config"].get(place)
        if not isinstance(part, dict) or not isinstance(part.get(key), int if key == "image_size" else str):
            raise ValueError(f"it has no config.{place}.{key}")


def configuration(run: RunConfig) -> dict[str, Any]:
    """The run's configuration as a nested dictionary of plain values."""
    return dataclasses.asdict(run)
