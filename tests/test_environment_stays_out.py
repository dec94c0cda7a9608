"""What is in the environment goes into no file, whatever the tracker and whatever the command line asks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCE, one_thread

pytestmark = pytest.mark.slow

SECRET = "xyzzy-3141592653"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = one_thread() | {"SERVICE_TOKEN": SECRET, "WANDB_MODE": "offline"}
    command = [sys.executable, str(SOURCE / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("logger", ["csv", "wandb"])
def test_no_file_of_a_sweep_holds_it(logger: str, small, tmp_path: Path) -> None:
    answer = run(tmp_path, "-m", "seed=0", "sweep=a", *small, f"logger={logger}")
    assert answer.returncode == 0, answer.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "result.json" for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_no_setting_can_look_a_secret_up(tmp_path: Path) -> None:
    for key in ("logger.project", "sweep", "data.store_root", "hydra.run.dir"):
        answer = run(tmp_path, f"{key}=${{oc.env:SERVICE_TOKEN}}")
        assert answer.returncode == 2
        assert SECRET not in answer.stderr
        assert "SERVICE_TOKEN}: looks like a secret" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_secret_can_be_looked_up(tmp_path: Path) -> None:
    for value, shown in {
        "${oc.env:WANDB_MODE}": "offline",
        "${oc.env:NOT_THERE,mine}": "mine",
    }.items():
        answer = run(tmp_path, "--cfg", "job", "--resolve", f"logger.project={value}")
        assert answer.returncode == 0, answer.stderr
        assert f"project: {shown}\n" in answer.stdout
    answer = run(tmp_path, "logger.project=${oc.env:NOT_THERE}")
    assert (answer.returncode, "is not set in the environment" in answer.stderr) == (2, True)
