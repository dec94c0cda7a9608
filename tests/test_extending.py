"""docs/extending.md is followed as it is written, in a copy of the project of which no file changes, and works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages import BLOCK, ROOT, check_session, copy_project, shell

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "extending.md"
FILE = re.compile(r"`(my/[\w/]+\.(?:py|yaml))`")


def test_every_step(tmp_path: Path) -> None:
    page, copy = PAGE.read_text(), copy_project(tmp_path)
    source = {file: file.read_bytes() for file in (copy / "src").rglob("*.py")}
    made = list[str]()
    for block in BLOCK.finditer(page):
        language, content = block.groups()
        if language == "console":
            check_session(content, copy)
        else:
            name = FILE.findall(page[: block.start()])[-1]  # the last that was named
            made.append(name)
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(content)
    assert len(made) == len(set(made)) == 11
    assert {file: file.read_bytes() for file in (copy / "src").rglob("*.py")} == source


def test_the_other_ways_to_a_folder(tmp_path: Path) -> None:
    copy = copy_project(tmp_path)
    for name in ("conf/local/model/mine.yaml", "my/loss/mine.yaml"):
        (copy / name).parent.mkdir(parents=True)
        (copy / name).write_text(f"_target_: package.Of{Path(name).parent.name.title()}\n")
    options = shell(".venv/bin/python src/train.py --cfg job model=mine loss=mine 'hydra.searchpath=[file://my]'", copy)
    assert "_target_: package.OfModel\n" in options
    assert "_target_: package.OfLoss\n" in options
