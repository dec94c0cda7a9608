"""Programs that run beside a test: how they are started, watched and found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import HANG, SOURCE, one_thread


def begin(script: str, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start a program in a process group of its own, as a shell does."""
    command = [sys.executable, str(SOURCE / script), *arguments]
    return subprocess.Popen(command, cwd=folder, env=one_thread(), stderr=subprocess.PIPE, text=True, process_group=0)


def wait_for(condition: Callable[[], object], seconds: float = HANG) -> None:
    """Return when the condition holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def working_in(folder: Path) -> list[int]:
    """The processes whose working directory is this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # A process that has ended has no working directory, even before its parent has asked for it.
                if (entry / "cwd").readlink() == folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def obeying_permissions() -> list[str]:
    """The beginning of a command that may not write where permissions forbid it, root or not."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed, and root may write everywhere")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]


def children_of(parent: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
            except (OSError, ValueError):
                continue
    return found
