"""A disk that is full or cannot be written costs nothing that was saved."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from continued_runs import TINY, outcome
from test_distributed import training_losses

from conftest import HANG, SOURCE, one_thread
from full_disk import Disk
from processes import wait_for

pytestmark = pytest.mark.slow

LONG = (*TINY, "optim.epochs=9", "trainer.checkpoint_steps=1")


def start(folder: Path, store_root: Path, output: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SOURCE / "train.py"), *LONG, f"data.store_root={store_root}"]
    with output.open("ab") as file:
        return subprocess.Popen(
            [*command, f"hydra.run.dir={folder}"],
            cwd=folder.parents[1],
            env=one_thread(),
            stdout=file,
            stderr=file,
        )


def test_a_full_disk_costs_nothing(disk: Disk, store_root: Path, tmp_path: Path) -> None:
    """The run goes on while there is no room, saves again when there is, and ends preempted if there is none then."""
    folder, output = disk.folder / "run", tmp_path / "output"
    run = start(folder, store_root, output)
    wait_for(lambda: (folder / "checkpoints" / "previous.ckpt").exists())
    disk.fill(run.pid)
    wait_for(lambda: b"no checkpoint after step" in output.read_bytes())
    disk.make_room(run.pid)
    last = folder / "checkpoints" / "last.ckpt"
    saved = last.stat().st_mtime_ns
    wait_for(lambda: last.stat().st_mtime_ns > saved)
    disk.fill(run.pid)
    assert run.wait(HANG) == 75
    text = output.read_text()
    assert "make room, then: python src/train.py" in text or "which could not be saved" in text
    assert "Traceback" not in text
    assert not (folder / "result.json").exists()
    disk.make_room(run.pid) if disk.mounted else None

    assert start(folder, store_root, output).wait(HANG) == 0
    whole = tmp_path / "whole" / "run"
    whole.parent.mkdir()
    assert start(whole, store_root, output).wait(HANG) == 0
    assert outcome(folder) == outcome(whole)


def test_asked_to_end_on_a_full_disk(disk: Disk, store_root: Path, tmp_path: Path) -> None:
    """What it prints goes to the full disk too."""
    folder = disk.folder / "run"
    folder.mkdir()
    run = start(folder, store_root, folder / "output.log")
    wait_for(lambda: (folder / "checkpoints" / "previous.ckpt").exists())
    disk.fill(run.pid)
    time.sleep(0.5)
    run.send_signal(signal.SIGTERM)
    assert run.wait(HANG) == 75
    assert json.loads((folder / "progress.json").read_text())
    if disk.mounted:
        disk.make_room(run.pid)
    assert start(folder, store_root, tmp_path / "output").wait(HANG) == 0
    assert len(training_losses(folder)) >= 50


def test_a_folder_that_may_not_be_written_is_one_line(store_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o555)
    as_anybody = []
    if os.geteuid() == 0:  # root may write anywhere, unless it lets go of that right
        setpriv = shutil.which("setpriv")
        assert setpriv, "setpriv of util-linux is needed to run as a user who may not write everywhere"
        as_anybody = [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    command = [sys.executable, str(SOURCE / "train.py"), *TINY, f"data.store_root={store_root}"]
    answer = subprocess.run(
        [*as_anybody, *command, f"hydra.run.dir={folder}"],
        cwd=tmp_path,
        env=one_thread(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    assert str(folder) in answer.stderr
    assert list(folder.iterdir()) == []
