"""docs/first-change.md is followed as it is written, in a copy of the project, and works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages import BLOCK, ROOT, check_session, copy_project, shell

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "first-change.md"
FILE = re.compile(r"`((?:src|tests|experiments)/[\w/]+\.(?:py|yaml))`")


def change(file: Path, diff: str) -> None:
    """What a reader does with a block of lines that begin with -, + or a space."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert file.read_text().count(before) == 1, f"{file} has no such lines"
    file.write_text(file.read_text().replace(before, after))


def test_every_step(tmp_path: Path) -> None:
    page, copy = PAGE.read_text(), copy_project(tmp_path)
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
