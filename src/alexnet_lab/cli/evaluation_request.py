"""What `src/evaluate.py` is asked for on its command line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from alexnet_lab.cli.arguments import path
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.config_snapshot import configuration_of
from alexnet_lab.runs.paths import ENSEMBLES


def run_folders(text: str) -> list[Path]:
    """run=DIR, or run=[A,B,C]. Raises UserError: an empty list, no run's folder, a run that is named twice."""
    is_list = text.startswith("[") and text.endswith("]")
    folders = [path(name.strip()) for name in (text[1:-1].split(",") if is_list else [text]) if name.strip()]
    if not folders:
        raise UserError(f"run={text}: names no run folder")
    for number, folder in enumerate(folders):
        configuration_of(folder)
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise UserError(f"run={text}: names {folder} twice")
    return folders


def default_folder(runs: Sequence[Path], views: str, checkpoint: str) -> Path:
    """RUN/evaluation/<views>-<checkpoint>, or for several runs/ensembles/<number>-<hash of their paths>/..."""
    name = f"{views}-{checkpoint}"
    if len(runs) == 1:
        return runs[0] / "evaluation" / name
    paths = "\n".join(sorted(str(run.resolve()) for run in runs))
    return ENSEMBLES / f"{len(runs)}-runs-{hashlib.sha256(paths.encode()).hexdigest()[:8]}" / name
