"""result.json: a finished run in one file. Tables are made from these files and from nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from alexnet_lab.config import RunConfig
from alexnet_lab.errors import UserError

SCHEMA_VERSION = 1
FILE_NAME = "result.json"


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result in a run folder, or None where the run has not ended well.

    Raises UserError where the file is damaged: it was written whole, so somebody or some disk has changed it.
    """
    path = folder / FILE_NAME
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(result, dict) or not all(isinstance(result[key], dict) for key in ("metrics", "config")):
            raise ValueError("it is no result")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}); remove that folder and run again") from None
    return result if result.get("status") == "completed" else None


def configuration(run: RunConfig) -> dict[str, Any]:
    """The run's configuration as a nested dictionary of plain values."""
    return dataclasses.asdict(run)
