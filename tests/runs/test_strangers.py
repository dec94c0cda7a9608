"""A run folder that names code, a command or a class of somebody's, runs none of it unless it is said to be trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.config_snapshot import read_configuration
from alexnet_lab.sweeps.planning import check_same_run
from alexnet_lab.weights.importing import import_weights
from alexnet_lab.weights.run_folder import load_run
from config.test_config import composed
from conftest import HANG, SOURCE, one_thread

pytestmark = pytest.mark.slow

COMMAND = {"_target_": "os.system", "command": "touch pwned"}
REFUSED = "is os.system, which is not built in and would run; if you trust where the file comes from"
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with runs/s/seed-0, whose configuration names a command wherever a class may stand."""
    run = tmp_path / "runs" / "s" / "seed-0"
    run.mkdir(parents=True)
    parts = {"model": COMMAND, "data": COMMAND, "optim": {**COMMAND, "schedule": COMMAND}, "logger": COMMAND}
    parts |= {"loss": COMMAND, "callbacks": {"a": COMMAND}, "augmentation": {"a": COMMAND}}
    (run / "config.yaml").write_text(json.dumps({"version": 2, "seed": 0, **parts}))
    empty: dict[str, Any] = {name: kind() for name, kind in checkpoint_file.PARTS.items()}
    content = checkpoint_file.to_bytes({**empty, "version": 2, "configuration": {"seed": 0, **parts}})
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "last.ckpt").write_bytes(bytes(content) + checkpoint_file.seal(content))
    (run / "progress.json").write_text(json.dumps({"state": "training"}))
    return tmp_path


PROGRAMS = {
    "evaluate.py run=runs/s/seed-0": f"runs/s/seed-0/config.yaml: model {REFUSED}",
    "export.py run=runs/s/seed-0 format=safetensors out=x.safetensors": f"model {REFUSED}",
    "train.py logger=none trainer=cpu hydra.run.dir=runs/s/seed-0": "was made with",
    "train.py -m seed=0,1 sweep=s logger=none trainer=cpu": "was made with",
    "reproduce.py status sweep=s": "",
    "sync.py folder=runs": "",
    "dashboard.py sweep=s": "W&B",
}


@pytest.mark.parametrize("command", PROGRAMS)
def test_no_program_runs_what_a_folder_names(command: str, stranger: Path) -> None:
    script, *arguments = command.split()
    before = files(stranger)
    answer = subprocess.run(
        [sys.executable, str(SOURCE / script), *arguments],
        cwd=stranger, env=one_thread(), capture_output=True, text=True, timeout=HANG, check=False,
    )  # fmt: skip
    assert "Traceback" not in answer.stderr
    assert answer.returncode == (2 if PROGRAMS[command] else 0), answer.stderr
    assert PROGRAMS[command] in answer.stderr
    assert files(stranger) == before


def files(folder: Path) -> list[Path]:
    """All but the lock and the log of a run."""
    return sorted(file for file in folder.rglob("*") if file.name not in (".lock", "train.log"))


def test_nor_does_a_result(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which tables are made: it is compared with what is asked for, and nothing of it is made."""
    monkeypatch.chdir(stranger)
    folder = stranger / "runs" / "s" / "seed-0"
    assert read_configuration(folder) is not None
    with pytest.raises(UserError, match="was made with"):
        check_same_run(folder, composed())
    with pytest.raises(UserError, match=REFUSED):
        load_run(folder)
    assert not (stranger / "pwned").exists()


def test_nor_does_a_file_of_weights(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stranger)
    description: dict[str, Any] = {
        "format": 1,
        "model": {**COMMAND, "name": "x"},
        "num_classes": 1,
        "class_names": None,
    }
    safetensors.torch.save_file({"a": torch.zeros(1)}, "x.safetensors", {"alexnet_lab": json.dumps(description)})
    with pytest.raises(UserError, match=REFUSED):
        import_weights(Path("x.safetensors"))
    assert not (stranger / "pwned").exists()
    with pytest.raises(UserError, match=r"model: os.system takes no num_classes, which it is given"):
        import_weights(Path("x.safetensors"), trust=True)
