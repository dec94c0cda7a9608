"""Starts the program in a test's folder, away from anybody's account."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from conftest import HANG, SOURCE, one_thread

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


def on_a_terminal(folder: Path, words: list[str], *command: str) -> int:
    """Start the program on a terminal of 50 x 300 letters; press q when it shows all the words; its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 300, 0, 0))
    own = one_thread() | {"HOME": str(folder), "TERM": "xterm-256color"}
    script, *arguments = command
    process = subprocess.Popen(
        [sys.executable, str(SOURCE / script), *arguments],
        cwd=folder, env=own, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, pressed, deadline = b"", False, time.monotonic() + HANG
    while process.poll() is None:
        assert time.monotonic() < deadline, shown.decode(errors="replace")
        if select.select([ours], [], [], 0.1)[0]:
            try:
                shown += os.read(ours, 2**16)
            except OSError:  # nobody writes to it any more
                break
        if not pressed and all(word.encode() in shown for word in words):
            pressed = True
            os.write(ours, b"q")
    os.close(ours)
    assert pressed, shown.decode(errors="replace")
    return process.wait(HANG)
