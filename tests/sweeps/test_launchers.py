"""Launchers of Hydra's own and of others: the same folders, what is complete is left, and the exit code tells."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TWO = ("-m", "seed=0,1", "sweep=s")


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_the_same_folders_as_with_the_launcher_here(launcher: str, program, small, tmp_path: Path) -> None:
    if launcher != "basic":
        pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    once = program("train.py", *TWO[:1], "seed=0", *TWO[2:], *small)  # by the launcher here
    assert once.returncode == 0, once.stderr
    [first] = tmp_path.glob("runs/s/*/result.json")
    before = first.read_bytes()

    # A job that cannot work, because its folder holds a folder where the metrics go, and one that can.
    folder = first.parents[1] / "seed-1"
    line = (*TWO[:1], "seed=0,1", *TWO[2:], *small, f"hydra/launcher={launcher}")
    (first.parent).rename(first.parents[1] / "seed-0")
    (folder / "metrics.csv").mkdir(parents=True)
    failed = program("train.py", *line)
    assert failed.returncode == 2
    assert failed.stderr.strip().splitlines()[-1].startswith("error: 1 of 2 jobs failed: seed-1;")
    (folder / "metrics.csv").rmdir()

    done = program("train.py", *line)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 jobs are complete already" in done.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("runs/s/*/result.json")) == ["seed-0", "seed-1"]
    assert (tmp_path / "runs" / "s" / "seed-0" / "result.json").read_bytes() == before


def test_a_sweep_goes_where_hydra_is_told_to_put_it(program, small, tmp_path: Path) -> None:
    line = ("-m", "seed=0,1", *small, "hydra.sweep.dir=out", "hydra.sweep.subdir=run-${hydra.job.num}")
    done = program("train.py", *line)
    assert done.returncode == 0, done.stderr
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("result.json")) == [
        "out/run-0/result.json",
        "out/run-1/result.json",
    ]
    again = program("train.py", *line)
    assert (again.returncode, "2 of 2 jobs are complete already" in again.stderr) == (0, True)
