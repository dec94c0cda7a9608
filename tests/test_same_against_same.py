"""Runs of one variant against runs of the same one: the count is right, and the same again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, SOURCE, one_thread
from reports.made_results import result

pytestmark = pytest.mark.slow

SCRIPT = SOURCE.parent / "benchmarks" / "same_against_same.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    environment = one_thread() | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment, check=False)


def test_same_against_same(tmp_path: Path) -> None:
    draw = random.Random(0)
    for seed in range(12):
        folder = tmp_path / f"base_seed-{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(result(0.3 + draw.gauss(0, 0.01), seed)))
    (tmp_path / "base_seed-99").mkdir()  # not complete
    (tmp_path / "no-lrn_seed-0").mkdir()

    first, again = run(tmp_path), run(tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    for part in first.stdout.split("top-")[1:]:
        head, *lines = part.strip().splitlines()
        resolved = [line for line in lines if line.endswith("resolved")]
        assert len(lines) == 40
        assert head.endswith(f"{len(resolved)} of 40 resolved; 2 expected at 5%")
        assert len(resolved) <= 7  # of 40 independent ones, 7 or more come once in 600 times
        assert all(float(line.split("p = ")[1].split()[0]) <= 0.05 for line in resolved)
        for line in lines:
            one, other = (set(json.loads(text)) for text in line.split(":")[0].split(" against "))
            assert len(one) == len(other) == 3
            assert not one & other

    short = run(tmp_path, "--n", "10")
    assert short.returncode == 1
    assert "has 12 complete runs, where comparing 10 with 10 others takes 20" in short.stderr
    assert len(short.stderr.splitlines()) == 1
