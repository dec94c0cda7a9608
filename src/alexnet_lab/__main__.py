"""`alexnet-lab PROGRAM ...`: the programs of src/ by name, from any folder."""

from __future__ import annotations

import ast
import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import SCRIPTS


def main() -> None:
    """Become `python src/PROGRAM.py ...`, which ranks and jobs then start again in the same words."""
    scripts = {file.stem: file for file in sorted(SCRIPTS.glob("*.py"))}
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in scripts:
        os.execv(sys.executable, [sys.executable, str(scripts[name]), *sys.argv[2:]])  # noqa: S606

    from alexnet_lab.cli import command_line  # here, because only this needs it

    command_line.help_or_run(lambda: _refuse(name, scripts), _description(scripts))


def _refuse(name: str, scripts: Mapping[str, Path]) -> NoReturn:
    near = difflib.get_close_matches(name, scripts, n=1)
    advice = f"did you mean {near[0]}? There are" if near else "name one of"
    raise UserError(f"alexnet-lab {name or '...'}: no such program; {advice} {', '.join(scripts)}")


def _description(scripts: Mapping[str, Path]) -> str:
    """Each program with the first line of what it says of itself."""
    lines = ["alexnet-lab PROGRAM ...        alexnet-lab PROGRAM --help says more", ""]
    for name, file in scripts.items():
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        lines.append(f"{name:<16} {said.partition(chr(10))[0]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
