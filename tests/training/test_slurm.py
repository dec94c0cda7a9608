"""In a shell that Slurm has given out, a run is what it is anywhere else; copies of it that srun makes are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# What Slurm's documentation of sbatch and salloc lists for a shell of two tasks on one machine.
SHELL_OF_TWO_TASKS = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "photographs",
    "SLURM_NNODES": "1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


@pytest.fixture
def in_slurm(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in SHELL_OF_TWO_TASKS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def devices(result: Path) -> int:
    return json.loads(result.read_text())["hardware"]["devices"]


def test_a_run_in_the_shell_of_a_job_starts_its_own_ranks(in_slurm, program, small, tmp_path: Path) -> None:
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    answer = program("train.py", *small, *ranks, "sweep=shell")
    assert answer.returncode == 0, answer.stderr
    assert [devices(result) for result in tmp_path.glob("runs/shell/*/result.json")] == [2]


def test_srun_may_start_a_sweep_several_times_and_its_jobs_are_single_runs(in_slurm, program, small, tmp_path) -> None:
    in_slurm.setenv("SLURM_STEP_NUM_TASKS", "2")
    in_slurm.setenv("SLURM_PROCID", "1")
    answer = program("train.py", "-m", *small, "logger=csv", "sweep=shared")
    assert answer.returncode == 0, answer.stderr
    assert [devices(result) for result in tmp_path.glob("runs/shared/*/result.json")] == [1]
    assert list(tmp_path.glob("runs/shared/*/csv_logger/metrics.csv"))  # rank zero alone writes it


def test_a_run_that_srun_starts_several_times_is_refused(in_slurm, program, small, tmp_path: Path) -> None:
    in_slurm.setenv("SLURM_STEP_NUM_TASKS", "2")
    answer = program("train.py", *small)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert "srun has started this run 2 times" in answer.stderr
    assert not list(tmp_path.iterdir())
