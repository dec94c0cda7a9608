"""Each room imports from those below it alone, no files import each other in a circle, and `make check` says so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from conftest import HANG, SOURCE

ROOT = SOURCE.parent


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """What `make check` runs, on the project in another folder."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=HANG, check=False)


def test_the_rooms_as_they_are() -> None:
    answer = lint(ROOT)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_floor_plan_of_contributing_is_the_order_that_is_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    plan = (ROOT / "CONTRIBUTING.md").read_text().partition("### Floor plan")[2]
    assert re.findall(r"^\| `(\w+)/` \|", plan, re.MULTILINE) == [room for room in layers if room != "__main__"]


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("core/errors.py", "from alexnet_lab.config import options", "Rooms depend on those below them alone"),
        (
            "core/errors.py",
            "def later():\n    import alexnet_lab.cli.preflight",
            "Rooms depend on those below them alone",
        ),
        (
            "core/errors.py",
            "def later():\n    import alexnet_lab.core.files",
            "Files do not import each other in a circle",
        ),
        ("networks/lenet5.py", "import lightning", "Networks are torch alone"),
        ("reports/collect.py", "import alexnet_lab.training.run", "Sweeps start training by the command line"),
    ],
    ids=["upwards", "upwards-in-a-function", "circle-in-a-room", "lightning-in-a-network", "a-report-that-trains"],
)
def test_an_import_against_them_is_refused(file: str, line: str, broken: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "alexnet_lab"
    shutil.copytree(SOURCE / "alexnet_lab", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / file).open("a") as stream:
        stream.write(f"\n\n{line}\n")
    answer = lint(tmp_path)
    assert answer.returncode == 1
    assert any(text.startswith(broken) and " BROKEN" in text for text in answer.stdout.splitlines())
