"""The short forms of `make chaos` and `make fuzz`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bad_command_lines import Generator, fault, furnish
from conftest import HANG

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
FEW = 40


def test_a_sweep_under_kills_ends_as_one_that_is_left_alone() -> None:
    command = [sys.executable, str(TESTS / "chaos.py"), "--kills", "3", "--seed", "3"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads(answer.stdout.splitlines()[-1])
    assert report["kills"] == 3
    assert report["table_identical"]
    assert report["metrics_identical"]
    assert report["damaged_files"] == report["runs_done_twice"] == report["left_processes"] == 0


def test_random_bad_command_lines_are_refused_in_a_line(tmp_path: Path) -> None:
    furnish(tmp_path)
    lines = iter(Generator(seed=int(os.environ.get("ALEXNET_LAB_FUZZ_SEED", "0"))))
    for _ in range(FEW):
        line = next(lines)
        if wrong := fault(line, tmp_path, HANG):
            pytest.fail(f"{line}: {wrong}")
