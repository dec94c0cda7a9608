"""What a person sees while images are prepared or evaluated, on a terminal of 80 columns and in a log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from conftest import SOURCE

PROGRAM = """
import sys, time
from alexnet_lab.core import progress

progress._SECONDS_BETWEEN_LINES = 0.01
with getattr(progress, sys.argv[1])(*eval(sys.argv[2])) as shown:
    for step in range(10):
        time.sleep(0.15)
        if sys.argv[1] == "PreparationProgress":
            shown.count_unreadable(1200)
        shown.advance(100_000)
    shown.say("a line of its own, longer than the terminal is wide, because it names a file: " + "x" * 20)
"""
CASES = [
    ("ImageProgress", "('Evaluating', 1_000_000)", r"\d+ %, [\d,]+ images/s, \d+ s left"),
    ("PreparationProgress", "(1_281_167,)", r"\d+ %, [\d,]+ images/s, \d+ s left, [\d,]+ unreadable"),
    (
        "ByteProgress",
        "('Verifying ILSVRC2012-256px-3f9a1c02', 2_000_000)",
        r"\d+ % of 0.002 GB, [\d,]+ MB/s, \d+ s left",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "said"), CASES, ids=["images", "preparation", "bytes"])
def test_a_terminal_shows_one_line(name: str, arguments: str, said: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-c", PROGRAM, name, arguments]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "TERM": "xterm"}
    process = subprocess.Popen(command, env=environment, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # what Linux says when the program has ended
        pass
    assert process.wait(timeout=60) == 0, seen
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    bars = [line for line in lines if "\u2501" in line]
    assert all(len(line) <= 80 for line in bars)
    assert re.search(said + "$", bars[-1])
    [other] = [line for line in lines if line not in bars]
    assert "longer than the terminal is wide" in other


@pytest.mark.parametrize(("name", "arguments", "said"), CASES, ids=["images", "preparation", "bytes"])
def test_a_log_gets_whole_lines(name: str, arguments: str, said: str) -> None:
    command = [sys.executable, "-c", PROGRAM, name, arguments]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    *lines, last = done.stderr.splitlines()
    assert all(re.search(said + "$", line) for line in lines[1:])
    assert last.endswith("x" * 20)
