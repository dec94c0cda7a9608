"""A run and a sweep go on whatever becomes of the screen; other programs say in one line why they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, SOURCE, one_thread

pytestmark = pytest.mark.slow

CLOSED = "<&- >&- 2>&-"
FULL = ">/dev/full 2>/dev/full"
UNREAD = ">&{unread} 2>&{unread}"  # as in `2>&1 | head -1`, when that has ended


def shell(redirection: str, script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As from a shell's command line, `python src/<script> <arguments> <redirection>`; {unread} is a pipe's end."""
    reader, writer = os.pipe()
    os.close(reader)
    line = f'exec "$@" {redirection.format(unread=writer)}'
    command = ["bash", "-c", line, "bash", sys.executable, str(SOURCE / script), *arguments]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=one_thread(),
            capture_output=True,
            text=True,
            pass_fds=[writer],
            timeout=HANG,
            check=False,
        )
    finally:
        os.close(writer)


def test_a_sweep_outlives_its_screen(small, tmp_path: Path) -> None:
    command = ("-m", "seed=0", "sweep=a", *small)
    # With closed streams a job's lock gets the number of one of them, which the job then has otherwise.
    assert shell(CLOSED, "train.py", *command, folder=tmp_path).returncode == 0
    [result] = tmp_path.glob("runs/a/*/result.json")
    for redirection in (FULL, UNREAD):  # nothing is left to do but to say so
        assert shell(redirection, "train.py", *command, folder=tmp_path).returncode == 0
    assert list(tmp_path.glob("runs/a/*/result.json")) == [result]


@pytest.mark.parametrize("redirection", ["2>&-", FULL])
def test_a_run_outlives_its_screen(redirection: str, small, tmp_path: Path) -> None:
    answer = shell(redirection, "train.py", *small, "sweep=a", folder=tmp_path)
    assert answer.returncode == 0
    assert len(list(tmp_path.glob("runs/a/*/result.json"))) == 1


def test_what_cannot_be_printed_is_an_error_and_what_nobody_reads_is_none(tmp_path: Path) -> None:
    for script, arguments in (("train.py", ["-h"]), ("train.py", ["--cfg", "job"]), ("reproduce.py", ["status"])):
        full = shell(">/dev/full", script, *arguments, folder=tmp_path)
        assert (full.returncode, full.stderr) == (
            2,
            "error: standard output: No space left on device; nothing more can be written there\n",
        )
        unread = shell(">&{unread}", script, *arguments, folder=tmp_path)
        assert (unread.returncode, unread.stderr) == (141, "")
