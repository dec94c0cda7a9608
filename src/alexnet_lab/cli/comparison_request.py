"""What src/compare.py is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alexnet_lab.cli.arguments import path, split_arguments
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs.paths import readable
from alexnet_lab.runs.sweep_results import check_folder

MOST_SWEEPS = 2


@dataclass(frozen=True)
class ComparisonRequest:
    """One sweep's folder or two; where the files go, and how those of the table and of the curves are called."""

    sweeps: list[Path]
    out: Path
    name: str
    curves: str


def read_comparison_request(arguments: Sequence[str]) -> ComparisonRequest:
    """Folders, and perhaps out=DIR. Raises UserError."""
    words = [word for word in arguments if "=" not in word or Path(word).is_dir()]
    given, others = split_arguments([word for word in arguments if word not in words], ("out",))
    if others:
        raise UserError(f"{others[0].partition('=')[0]}: no such key; there are out=DIR and the folders of sweeps")
    if not 1 <= len(words) <= MOST_SWEEPS:
        raise UserError(f"{len(words)} folders: name one sweep's or two, as in python src/compare.py runs/A runs/B")
    sweeps = [path(word) for word in words]
    for folder in sweeps:
        check_folder(folder)
    if len({folder.resolve() for folder in sweeps}) < len(sweeps):
        raise UserError(f"{words[1]}: is named twice; a sweep does not differ from itself")
    out = path(given["out"]) if "out" in given else sweeps[0]
    other = f"-with-{readable(sweeps[1].resolve().name)}" if len(sweeps) > 1 else ""
    return ComparisonRequest(sweeps, out, f"comparison{other}", f"learning_curves{other}")
