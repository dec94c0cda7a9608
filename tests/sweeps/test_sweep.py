"""A sweep: each job its own interpreter and folder; the same command again does only what is missing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from conftest import HANG, SOURCE, one_thread
from processes import wait_for

pytestmark = pytest.mark.slow


def test_a_sweep_makes_a_folder_a_job_and_is_not_done_twice(program, small, tmp_path: Path) -> None:
    command = ("-m", "model.lrn=true,false", "sweep=a", *small)
    answer = program("train.py", *command)
    assert answer.returncode == 0, answer.stderr
    assert "2 of 2 jobs ended" in answer.stderr

    folders = {folder.name: folder for folder in (tmp_path / "runs" / "a").iterdir()}
    assert set(folders) == {"model.lrn-true", "model.lrn-false"}
    for name, folder in folders.items():
        lrn = name.endswith("true")
        assert OmegaConf.load(folder / "config.yaml").model.lrn is lrn
        result = json.loads((folder / "result.json").read_text())
        assert result["config"]["model"]["lrn"] is lrn
        assert f"val top-1 error {100 * result['metrics']['val_top1_error']:.1f} %" in answer.stderr

    before = {name: (folder / "result.json").stat().st_mtime_ns for name, folder in folders.items()}
    shutil.rmtree(folders["model.lrn-false"])
    again = program("train.py", *command)
    assert again.returncode == 0
    assert "1 of 2 jobs are complete already" in again.stderr
    assert (folders["model.lrn-true"] / "result.json").stat().st_mtime_ns == before["model.lrn-true"]
    assert (folders["model.lrn-false"] / "result.json").exists()

    (folders["model.lrn-true"] / "result.json").write_text("{")
    damaged = program("train.py", *command)
    assert damaged.returncode == 2
    assert "model.lrn-true/result.json: is damaged" in damaged.stderr
    assert len(damaged.stderr.strip().splitlines()) == 1
    shutil.rmtree(folders["model.lrn-true"])

    other = program("train.py", *command, "model.dropout=0.1")
    assert other.returncode == 2
    assert "was made with model.dropout=0.5, not 0.1; choose another sweep=NAME" in other.stderr


def test_jobs_compose_what_the_sweep_composed(program, small, tmp_path: Path) -> None:
    """Its own configuration, with options of its own from two folders, reaches the jobs and their results."""
    presets = SOURCE.parent / "conf"
    for text, name in (
        ("defaults: [train, _self_]\nseed: 7\nsweep: my own\n", "here/mine.yaml"),
        ((presets / "model" / "mini.yaml").read_text().replace("name: mini", "name: ours"), "here/model/ours.yaml"),
        ((presets / "optim" / "mini.yaml").read_text().replace("name: mini", "name: slow"), "there/optim/slow.yaml"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = ("--config-dir", "here", "--config-name", "mine", "hydra.searchpath=[file://there]")

    answer = program("train.py", "-m", *own, "model=ours", "optim=slow", "model.lrn=false", *small)

    assert answer.returncode == 0, answer.stderr
    [folder] = (tmp_path / "runs" / "my own").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert (result["seed"], result["config"]["model"]["name"], result["config"]["optim"]["name"]) == (7, "ours", "slow")
    # What continues the run composes the same.
    assert result["overrides"][:5] == ["--config-dir", str(tmp_path / "here"), *own[2:]]


def test_a_job_that_fails_is_named_and_the_others_run(program, tmp_path: Path) -> None:
    for collection in ("good", "bad"):
        for split in ("train", "val"):
            for name in ("elm", "fir"):
                folder = tmp_path / collection / split / name
                folder.mkdir(parents=True)
                for index in range(8):
                    if collection == "good":
                        Image.effect_noise((64, 64), 50).save(folder / f"{index}.png")
                    else:
                        (folder / f"{index}.png").write_bytes(b"not an image")

    roots = f"data.root={tmp_path / 'bad'},{tmp_path / 'good'}"
    answer = program("train.py", "-m", "data=folder", roots, "optim.batch_size=8", "trainer.max_epochs=1", "sweep=b")

    assert answer.returncode == 2
    bad, good = (next((tmp_path / "runs" / "b").glob(f"*{end}")) for end in ("bad", "good"))
    assert f"1 of 2 jobs failed: {bad.name}" in answer.stderr
    assert f"the end of {bad.relative_to(tmp_path) / 'output.log'}" in answer.stderr
    assert not (bad / "result.json").exists()
    assert (good / "result.json").exists()


def test_interrupting_a_sweep_ends_its_jobs(small, tmp_path: Path) -> None:
    command = [sys.executable, str(SOURCE / "train.py"), "-m", "seed=0,1", "sweep=c", *small, "trainer.max_epochs=500"]
    sweep = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=one_thread(),
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "runs" / "c"
    wait_for(lambda: len(list(folder.glob("*/metrics.csv"))) == 2)

    sweep.send_signal(signal.SIGINT)
    stderr = sweep.communicate(timeout=HANG)[1]

    assert sweep.returncode == 75
    assert "Traceback" not in stderr
    assert not list(folder.glob("*/result.json"))
    left = subprocess.run(["pgrep", "-f", f"sweep=c.*{tmp_path}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_a_sweep_hears_nothing_of_signals_that_were_ignored_when_it_was_started(small, tmp_path: Path) -> None:
    """As nohup starts programs, and a shell those in the background of a script."""
    ignoring = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh"]
    command = [sys.executable, str(SOURCE / "train.py"), "-m", "seed=0", "sweep=d", *small, "trainer.max_epochs=20"]
    sweep = subprocess.Popen([*ignoring, *command], cwd=tmp_path, env=one_thread(), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(tmp_path.glob("runs/d/*/metrics.csv")))

    sweep.send_signal(signal.SIGHUP)
    sweep.send_signal(signal.SIGINT)
    stderr = sweep.communicate(timeout=HANG)[1]

    assert sweep.returncode == 0, stderr
    assert "1 jobs: 1 done" in stderr
