"""Code that Numba has kept is a help, never a condition."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCE

pytestmark = pytest.mark.slow

pytest.importorskip("numba")

PROGRAM = """
import numpy as np
from alexnet_lab.data.compiled_pictures import CompiledPictures
assert CompiledPictures(2).square(np.full((4, 4, 3), 9, np.uint8)).tolist() == [[[9] * 3] * 2] * 2
"""


@pytest.fixture
def kept(tmp_path: Path) -> list[Path]:
    """The files that a copy of this program has kept."""
    shutil.copytree(SOURCE / "alexnet_lab", tmp_path / "alexnet_lab", ignore=shutil.ignore_patterns("__pycache__"))
    run(tmp_path)
    files = [file for file in tmp_path.rglob("numba-*/**/*") if file.is_file()]
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    return files


def run(folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder), "HOME": str(folder / "home")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)


def test_kept_code_that_is_cut_or_empty_is_made_anew(kept: list[Path], tmp_path: Path) -> None:
    for share in (0.5, 0.0):
        for file in kept:
            content = file.read_bytes()
            file.write_bytes(content[: int(share * len(content))])
        run(tmp_path)


def test_where_nothing_can_be_kept_it_is_compiled_each_time(kept: list[Path], tmp_path: Path) -> None:
    caches = {folder for file in kept for folder in file.parents if folder.name.startswith("numba-")}
    for cache in caches:
        shutil.rmtree(cache)
        cache.write_text("a file where the folder would be")
    run(tmp_path)
