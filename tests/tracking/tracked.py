"""Starts the program in a test's folder, away from anybody's account."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import SOURCE, one_thread

Start = Callable[..., subprocess.Popen[str]]


def starter(folder: Path) -> Start:
    """start("train.py", *arguments, environment={...}) starts a program in `folder`, at home in folder/home."""

    def start(script: str, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        (folder / "home").mkdir(exist_ok=True)
        own = one_thread() | {"HOME": str(folder / "home")} | (environment or {})
        command = [sys.executable, str(SOURCE / script), *arguments]
        return subprocess.Popen(
            command, cwd=folder, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    return start
