"""What people who come from elsewhere type: it works, or one line says what it is here (tests/habits.yaml)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from alexnet_lab.core.parallel import usable_cores
from conftest import SOURCE, one_thread

HABITS: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "habits.yaml").read_text())
AT_ONCE = 10  # command lines a test, so that one failure does not hide the others of another subject

pytestmark = pytest.mark.slow

Answer = subprocess.CompletedProcess[str]


def answers(
    lines: list[str], folder: Path, more: Callable[[str], list[str]] = lambda line: []
) -> dict[str, tuple[Answer, Path]]:
    """Each command line's, run in a folder of its own, with what it left there."""

    def run(numbered: tuple[int, str]) -> tuple[str, tuple[Answer, Path]]:
        number, line = numbered
        place = folder / str(number)
        place.mkdir()
        command = [sys.executable, str(SOURCE / "train.py"), *line.split(), *more(line)]
        return line, (
            subprocess.run(command, cwd=place, env=one_thread(), capture_output=True, text=True, check=False),
            place,
        )

    with ThreadPoolExecutor(usable_cores()) as pool:
        return dict(pool.map(run, enumerate(lines)))


def groups(lines: Any, size: int = AT_ONCE) -> list[list[str]]:
    found = list(lines)
    return [found[first : first + size] for first in range(0, len(found), size)]


def named(lines: list[str]) -> str:
    return lines[0].split()[0]


@pytest.mark.parametrize("lines", groups(HABITS["says"]), ids=named)
def test_one_line_says_what_it_is_here(lines: list[str], tmp_path: Path) -> None:
    wrong = {}
    for line, (answer, place) in answers(lines, tmp_path).items():
        said = answer.stderr.strip().splitlines()
        right = answer.returncode == 2 and len(said) == 1 and str(HABITS["says"][line]) in said[0]
        if not right or answer.stdout or list(place.iterdir()):
            wrong[line] = (answer.returncode, answer.stderr[-600:], answer.stdout[-200:], list(place.iterdir()))
    assert wrong == {}


def test_a_question_is_answered_on_standard_output(tmp_path: Path) -> None:
    wrong = {}
    for line, (answer, place) in answers(list(HABITS["prints"]), tmp_path).items():
        if answer.returncode or HABITS["prints"][line] not in answer.stdout or list(place.iterdir()):
            wrong[line] = (answer.returncode, answer.stderr[-600:], answer.stdout[-600:])
    assert wrong == {}


def small_as(line: str, store_root: Path) -> list[str]:
    """What keeps a run small, and does not contradict what the line is about."""
    more = [f"data.store_root={store_root}"]
    if "experiment=" not in line:
        more += [
            "data.num_classes=7", "data.train_images_per_class=64", "data.val_images_per_class=60",
            "optim.batch_size=64", "optim.epochs=1", "model.width=0.05", "model.towers=1",
        ]  # fmt: skip
    return more if "logger=" in line or "debug=" in line else [*more, "logger=none"]


@pytest.mark.parametrize("lines", groups(HABITS["works"], 5), ids=named)
def test_a_run_ends_well(lines: list[str], tmp_path: Path, store_root: Path) -> None:
    wrong = {}
    for line, (answer, place) in answers(lines, tmp_path, lambda line: small_as(line, store_root)).items():
        jobs = 2 if line.startswith("-m") else 1
        if answer.returncode or len(list(place.rglob("result.json"))) != jobs:
            wrong[line] = (answer.returncode, answer.stderr[-600:], answer.stdout[-600:])
    assert wrong == {}


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("model=alexnet_", "model=alexnet_caffe"), ("optim.learn", "optim.learning_rate="), ("debug=f", "debug=fdr")],
)
def test_a_shell_completes_groups_options_and_keys(typed: str, completed: str, tmp_path: Path) -> None:
    environment = one_thread() | {"COMP_LINE": f"python src/train.py {typed}"}
    command = [sys.executable, str(SOURCE / "train.py"), "-sc", "query=bash"]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert completed in answer.stdout.split()
