"""docs/first-change.md is followed as it is written, in a copy of the project, and works."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, SOURCE, one_thread

pytestmark = pytest.mark.slow

ROOT = SOURCE.parent
PAGE = ROOT / "docs" / "first-change.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`((?:src|tests|experiments)/[\w/]+\.(?:py|yaml))`")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project, with the environment in which the tests run."""
    for name in ("src", "tests", "conf", "experiments"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def shell(command: str, folder: Path) -> str:
    """What a command prints, on either stream."""
    answer = subprocess.run(
        command, cwd=folder, shell=True, env=one_thread(), stdout=-1, stderr=-2, text=True, timeout=HANG, check=False
    )
    return answer.stdout


def change(file: Path, diff: str) -> None:
    """What a reader does with a block of lines that begin with -, + or a space."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert file.read_text().count(before) == 1, f"{file} has no such lines"
    file.write_text(file.read_text().replace(before, after))


def check_session(session: str, folder: Path) -> None:
    """Each command after $ prints the lines that follow it, in which ... stands for anything."""
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        printed = shell(command, folder)
        assert re.fullmatch(pattern, printed), f"{command}\n{printed}"


def test_every_step(copy: Path) -> None:
    page = PAGE.read_text()
    made = list[str]()
    for block in BLOCK.finditer(page):
        language, content = block.groups()
        if language == "console":
            check_session(content, copy)
        elif language != "sh":
            name = FILE.findall(page[: block.start()])[-1]  # the last that was named
            made.append(name)
            if language == "diff":
                change(copy / name, content)
            else:
                (copy / name).write_text(content)
    assert len(made) == 4
    assert "All checks passed" in shell(".venv/bin/python -m ruff check " + " ".join(made[:3]), copy)
    assert shell(".venv/bin/python -m ruff format --check " + " ".join(made[:3]), copy).startswith("3 files already")
