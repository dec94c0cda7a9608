"""One fault at a time: a sweep loses nothing, does nothing twice, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from alexnet_lab.runs.lock import holder, take
from conftest import HANG, SOURCE, one_thread
from full_disk import Disk
from processes import begin, obeying_permissions, wait_for, working_in

pytestmark = pytest.mark.slow

LONG = ("trainer.max_epochs=30", "trainer.checkpoint_steps=20")  # some ten seconds


def times_done(folder: Path) -> int:
    """How often a run was brought to its end."""
    return (folder / "train.log").read_text().count("done: top-1 error")


def test_a_lock_is_held_by_one_and_outlives_no_holder(tmp_path: Path) -> None:
    lock = take(tmp_path)
    assert lock is not None
    assert take(tmp_path) is None
    assert holder(tmp_path) == f"process {os.getpid()}"

    # A process that inherited the open file keeps it, whatever becomes of the first.
    heir = subprocess.Popen(["sleep", str(HANG)], pass_fds=[lock.descriptor])
    lock.release()
    assert take(tmp_path) is None
    heir.kill()
    heir.wait()
    assert holder(tmp_path) is None
    again = take(tmp_path)
    assert again is not None
    again.release()


def test_two_sweeps_at_once_share_the_work(program, small, tmp_path: Path) -> None:
    command = ("-m", "seed=0,1,2", "sweep=shared", "hydra.launcher.jobs=1", *small)
    both = [begin("train.py", *command, folder=tmp_path) for _ in range(2)]
    said = [sweep.communicate(timeout=HANG)[1] for sweep in both]

    assert [sweep.returncode for sweep in both] == [0, 0], said
    folders = [tmp_path / "runs" / "shared" / f"seed-{seed}" for seed in range(3)]
    assert [times_done(folder) for folder in folders] == [1, 1, 1]
    assert all("done by another process" in text for text in said), said
    status = program("reproduce.py", "status", "sweep=shared")
    assert "3 jobs: 3 complete" in status.stdout


def test_a_killed_sweep_ends_its_jobs_and_another_takes_over(program, small, tmp_path: Path) -> None:
    command = ("-m", "seed=0,1", "sweep=a", "hydra.launcher.jobs=2", *small, *LONG)
    folders = [tmp_path / "runs" / "a" / f"seed-{seed}" for seed in (0, 1)]
    first = begin("train.py", *command, folder=tmp_path)
    wait_for(lambda: all((folder / "checkpoints" / "last.ckpt").exists() for folder in folders))

    status = program("reproduce.py", "status", "sweep=a")
    assert status.returncode == 0
    assert "2 jobs: 2 running" in status.stdout
    alone = program("train.py", *small, *LONG, f"hydra.run.dir={folders[0]}")
    assert alone.returncode == 2
    assert alone.stderr.startswith(f"error: {folders[0]}: is being run by process ")
    assert len(alone.stderr.splitlines()) == 1

    second = begin("train.py", *command, folder=tmp_path)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    said = second.communicate(timeout=HANG)[1]

    assert second.returncode == 0, said
    assert "2 jobs: 2 continued and done" in said
    assert [times_done(folder) for folder in folders] == [1, 1]
    wait_for(lambda: not working_in(tmp_path))


def test_a_killed_sweep_leaves_no_process(small, tmp_path: Path) -> None:
    command = ("-m", "seed=0,1", "sweep=b", *small, "trainer.max_epochs=5000")
    sweep = begin("train.py", *command, folder=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("runs/b/*/metrics.csv"))) >= 1)
    sweep.kill()
    sweep.communicate()
    wait_for(lambda: not working_in(tmp_path))
    wait_for(lambda: all(holder(folder) is None for folder in tmp_path.glob("runs/b/*")))


def test_a_killed_job_is_tried_again(small, tmp_path: Path) -> None:
    sweep = begin("train.py", "-m", "seed=0,1", "sweep=c", *small, *LONG, folder=tmp_path)
    folders = [tmp_path / "runs" / "c" / f"seed-{seed}" for seed in (0, 1)]
    wait_for(lambda: (folders[0] / "checkpoints" / "last.ckpt").exists())
    job = json.loads((folders[0] / ".lock").read_text())["process"]
    os.kill(job, signal.SIGKILL)

    said = sweep.communicate(timeout=HANG)[1]

    assert sweep.returncode == 0, said
    assert "seed-0 ended by signal SIGKILL" in said
    assert [times_done(folder) for folder in folders] == [1, 1]


def test_a_job_that_is_asked_to_end_is_continued(small, tmp_path: Path) -> None:
    options = ("hydra.launcher.jobs=2", "hydra.launcher.sweep_retries=0")
    sweep = begin("train.py", "-m", "seed=0,1", "sweep=d", *options, *small, *LONG, folder=tmp_path)
    folder = tmp_path / "runs" / "d" / "seed-0"
    wait_for(lambda: (folder / "checkpoints" / "last.ckpt").exists())
    os.kill(json.loads((folder / ".lock").read_text())["process"], signal.SIGTERM)

    said = sweep.communicate(timeout=HANG)[1]

    assert sweep.returncode == 0, said
    assert "2 jobs: 1 done, 1 continued and done" in said
    assert times_done(folder) == 1


def test_on_a_full_disk_a_sweep_waits_for_room(disk: Disk, small) -> None:
    """The jobs train on, have no room for their results in the end, and are started again when there is room."""
    options = ("hydra.launcher.jobs=2", "model.width=0.0625", "trainer.max_epochs=40", "trainer.checkpoint_steps=5")
    sweep = begin("train.py", "-m", "seed=0,1", "sweep=g", *small, *options, folder=disk.folder)
    folders = [disk.folder / "runs" / "g" / f"seed-{seed}" for seed in (0, 1)]
    wait_for(lambda: all((folder / "checkpoints" / "last.ckpt").exists() for folder in folders))
    disk.fill(sweep.pid, *(json.loads((folder / ".lock").read_text())["process"] for folder in folders))
    assert sweep.stderr is not None
    waiting = {line.partition(":")[0] for line in islice((line for line in sweep.stderr if "for room" in line), 2)}
    assert waiting == {"seed-0", "seed-1"}
    assert not any((folder / "result.json").exists() for folder in folders)
    disk.make_room(sweep.pid)

    said = sweep.communicate(timeout=HANG)[1]
    assert sweep.returncode == 0, said
    assert "2 jobs: 2 continued and done" in said
    assert [times_done(folder) for folder in folders] == [1, 1]


def test_an_interrupted_run_with_other_settings_is_noticed(program, small, tmp_path: Path) -> None:
    command = ("-m", "seed=0,1", "sweep=e", *small, "trainer.max_epochs=5000")
    sweep = begin("train.py", *command, folder=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("runs/e/*/checkpoints/last.ckpt"))) == 2)
    sweep.send_signal(signal.SIGTERM)
    said = sweep.communicate(timeout=HANG)[1]
    assert sweep.returncode == 75
    assert "interrupted, 2 jobs: none complete; the same command goes on from here" in said
    assert "2 interrupted" in program("reproduce.py", "status", "sweep=e").stdout

    other = program("train.py", *command, "model.dropout=0.1")
    assert other.returncode == 2
    assert "seed-0: was made with model.dropout=0.5, not 0.1; choose another sweep=NAME" in other.stderr
    assert len(other.stderr.splitlines()) == 1


def test_a_folder_that_may_not_be_written_stops_the_sweep_in_one_line(small, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(0o555)
    command = [*obeying_permissions(), sys.executable, str(SOURCE / "train.py"), "-m", "seed=0,1", "sweep=f", *small]
    answer = subprocess.run(command, cwd=tmp_path, env=one_thread(), capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == f"error: {runs}: may not be written; start from another folder or change its permissions\n"
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("retries", [0, 2])
def test_a_job_that_always_fails_is_given_up(retries: int, program, small, tmp_path: Path) -> None:
    diverging = ("optim.learning_rate=100", "seed=0", f"hydra.launcher.sweep_retries={retries}")
    answer = program("train.py", "-m", *diverging, "sweep=g", *small)
    assert answer.returncode == 2
    assert "1 of 1 jobs failed" in answer.stderr
    [folder] = (tmp_path / "runs" / "g").iterdir()
    assert (folder / "output.log").read_text().count("training diverged") == 1 + retries
    status = program("reproduce.py", "status", "sweep=g")
    assert "1 failed" in status.stdout
    assert "exit code 2" in status.stdout
