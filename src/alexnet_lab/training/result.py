"""result.json: a finished run in one file. Tables are made from these files and from nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from alexnet_lab.config import RunConfig

SCHEMA_VERSION = 1
FILE_NAME = "result.json"


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result in a run folder, or None where the run has not ended well."""
    try:
        result = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return result if isinstance(result, dict) and result.get("status") == "completed" else None


def configuration(run: RunConfig) -> dict[str, Any]:
    """The run's configuration as a nested dictionary of plain values."""
    return dataclasses.asdict(run)
