"""Whether runs have converged, as benchmarks/convergence.py says and draws it of their folders."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, SOURCE
from reports.made_results import result

SCRIPT = SOURCE.parent / "benchmarks" / "convergence.py"
IMAGES = {"identity": "1" * 64, "classes": 20, "train": 1000, "val": 5000}
EPOCHS = [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG, check=False)


def make_run(folder: Path, seed: int, errors: list[float], losses: list[float], **other: object) -> None:
    """A run folder with errors in percent and losses after each of the first epochs of EPOCHS."""
    folder.mkdir(parents=True)
    made = {**result(errors[-1] / 100, seed), "images": IMAGES, **other}
    (folder / "result.json").write_text(json.dumps(made))
    with (folder / "metrics.csv").open("w", newline="") as file:
        columns = ["epoch", "step", "train_loss", "train_epoch_loss", "val_top1_error"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerow({"epoch": 0, "step": 1, "train_loss": 3.0})
        for epoch, error, loss in zip(EPOCHS, errors, losses, strict=False):
            row = {"epoch": epoch - 1, "step": 31 * epoch, "train_epoch_loss": loss, "val_top1_error": error / 100}
            writer.writerow(row)


def test_what_is_said_of_runs(tmp_path: Path) -> None:
    """Two runs, whose numbers are worked out by hand; of the second the error rises at the end."""
    guessing = math.log(20)
    make_run(tmp_path / "sweep" / "seed-0", 0, [90, 80, 70, 60, 50, 40, 30, 22, 20.25, 20], [guessing, 2.9, *[1] * 8])
    make_run(
        tmp_path / "sweep" / "seed-1", 1, [92, 84, 74, 60, 50, 40, 30, 22, 20.25, 21], [3, 0.995 * guessing, *[1] * 8]
    )

    told = run(tmp_path, "sweep", "--svg", "curves.svg", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["classes"] == 20
    assert found["epochs"] == EPOCHS
    assert found["mean"][:3] + found["mean"][-1:] == pytest.approx([91, 82, 72, 20.5])
    assert found["deviation"][0] == pytest.approx(math.sqrt(2))
    assert found["last_tenth"] == [36, 40]
    assert found["changes"] == {"0": pytest.approx(-0.25), "1": pytest.approx(0.75)}
    assert (found["mean_change"], found["largest_change"]) == pytest.approx((0.5, 0.75))
    assert found["large_changes"] == 1
    assert found["left_guessing"] == 12  # after 8 the second run's loss is 0.5 % below guessing's

    curves = (tmp_path / "curves.svg").read_bytes()
    assert curves.startswith(b"<?xml")
    assert curves.count(b"stroke-opacity: 0.45") == 4  # an error's and a loss's line a run
    table = run(tmp_path, *sorted(tmp_path.glob("sweep/seed-*")), "--svg", "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == curves
    assert "| after epoch | 4 | 8 | 12 | 16 | 20 | 24 | 28 | 32 | 36 | 40 |" in table.stdout
    assert "| top-1 error %, mean | 91.0 | 82.0 | 72.0 |" in table.stdout
    assert "from epoch 36 to 40: 0.50 points on average, 0.75 at most; over 0.5 points in 1 of 2" in table.stdout
    assert "below 0.99 ln(20) = 2.97: 12" in table.stdout


def test_a_run_that_never_left_guessing(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 5, [95] * 10, [math.log(20)] * 10)
    told = run(tmp_path, "run")
    assert told.returncode == 0, told.stderr
    assert told.stdout.endswith(": none\n")
    assert "standard deviation" not in told.stdout  # of a single run
    assert (tmp_path / "converged.svg").exists()


def test_runs_that_cannot_be_taken_together(tmp_path: Path) -> None:
    """One line, and no drawing."""
    usual = [50.0] * 10, [1.0] * 10
    make_run(tmp_path / "base" / "seed-0", 0, *usual)
    make_run(tmp_path / "twice" / "seed-0", 0, *usual)
    make_run(tmp_path / "others" / "seed-1", 1, *usual, images={**IMAGES, "identity": "2" * 64})
    make_run(tmp_path / "short" / "seed-1", 1, usual[0][:9], usual[1][:9])
    make_run(tmp_path / "single", 1, usual[0][:1], usual[1][:1])
    make_run(tmp_path / "damaged" / "seed-1", 1, *usual)
    metrics = tmp_path / "damaged" / "seed-1" / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("0.5", "half"))
    (tmp_path / "going" / "seed-1").mkdir(parents=True)
    (tmp_path / "going" / "seed-1" / "progress.json").write_text("{}")
    for folders, reason in (
        (["none"], "no run is there"),
        (["base", "twice"], "a run of seed 0 was read already"),
        (["base", "others"], "another `images`"),
        (["base", "short"], "after other epochs"),
        (["single"], "nothing was validated before the last tenth"),
        (["damaged"], "metrics.csv: cannot be read"),
        (["going"], "the run is not complete"),
        (["base", "--svg", "nowhere/curves.svg"], "cannot be written"),
    ):
        told = run(tmp_path, *folders)
        assert told.returncode == 1, folders
        assert reason in told.stderr
        assert len(told.stderr.splitlines()) == 1
        assert not list(tmp_path.glob("**/*.svg"))
