"""Pages of docs/ that are followed as they are written, in a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import HANG, SOURCE, one_thread

ROOT = SOURCE.parent
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def copy_project(folder: Path) -> Path:
    """The project in a folder, with the environment in which the tests run."""
    for name in ("src", "tests", "conf", "experiments"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "local"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def shell(command: str, folder: Path) -> str:
    """What a command prints, on either stream."""
    answer = subprocess.run(
        command, cwd=folder, shell=True, env=one_thread(), stdout=-1, stderr=-2, text=True, timeout=HANG, check=False
    )
    return answer.stdout


def check_session(session: str, folder: Path) -> None:
    """Each command after $ prints the lines that follow it, in which ... stands for anything."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        printed = shell(command, folder)
        assert re.fullmatch(pattern, printed), f"{command}\n{printed}"
