"""The table: means and intervals that a calculator gives, and words that say what they mean."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from scipy import stats

from alexnet_lab.errors import UserError
from alexnet_lab.experiments.experiment import load_experiment
from alexnet_lab.experiments.run_folders import job_name
from alexnet_lab.experiments.statistics import estimate, paired_difference
from alexnet_lab.reports.ablation_table import make_rows, markdown, write_table
from alexnet_lab.reports.collect import collect

BASE = {0: 0.20, 1: 0.24, 2: 0.22}
WORSE = {0: 0.30, 1: 0.35, 2: 0.32}
SAME = {0: 0.21, 1: 0.22, 2: 0.23}


def result(error: float, seed: int) -> dict[str, object]:
    metrics = {"val_top1_error": error, "val_top5_error": error / 2}
    return {
        "schema_version": 1,
        "status": "completed",
        "seed": seed,
        "parameters": 1000 + seed,
        "epochs": 4,
        "steps": 100,
        "wall_seconds": 1800.0,
        "metrics": metrics,
        "hardware": {"processor": "abacus", "cores": 2, "threads": 1, "devices": 1, "gpus": []},
        "versions": {"torch": "2", "lightning": "2"},
        "config": {"model": {"name": "mini"}, "data": {"source": "fractals", "image_size": 64}},
    }


def runs() -> dict[str, dict[int, dict[str, object]]]:
    errors = {"base": BASE, "one-tower": WORSE, "no-lrn": SAME}
    return {name: {seed: result(value, seed) for seed, value in by_seed.items()} for name, by_seed in errors.items()}


def test_an_estimate_is_students() -> None:
    values = [31.0, 29.5, 33.2, 30.1]
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimate(values)
    assert found.mean == pytest.approx(sum(values) / 4)
    assert found.mean + found.half_width == pytest.approx(interval.high)
    assert estimate([5.0]).half_width is None
    with pytest.raises(ValueError, match="finite"):
        estimate([math.nan])


def test_differences_are_paired_by_seed() -> None:
    found = paired_difference({0: 1.0, 1: 5.0, 9: 100.0}, {0: 0.5, 1: 4.0, 2: 7.0})
    assert (found.mean, found.n) == (0.75, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_rows_say_what_is_resolved() -> None:
    experiment = load_experiment("ablations")
    rows = {row.variant: row for row in make_rows(experiment, runs())}

    assert list(rows) == ["base", "one-tower", "no-lrn"]
    assert rows["base"].errors["top1"].mean == pytest.approx(22)
    assert rows["one-tower"].differences["top1"].mean == pytest.approx(31 / 3)
    text = markdown(experiment, list(rows.values()), "made up")
    line = next(line for line in text.splitlines() if line.startswith("| one tower"))
    assert "+10.3 ± 1.4 (worse)" in line
    assert "+1.7" in line
    assert "not resolved" in next(line for line in text.splitlines() if line.startswith("| no normalization"))


def test_the_files_hold_the_rows(tmp_path: Path) -> None:
    experiment = load_experiment("ablations")
    write_table(tmp_path, experiment, make_rows(experiment, runs()), "made up")

    document = json.loads((tmp_path / "table.json").read_text())
    with (tmp_path / "table.csv").open() as file:
        records = list(csv.DictReader(file))
    assert [row["variant"] for row in document["rows"]] == [row["variant"] for row in records]
    assert document["rows"][2]["top1_resolved"] is False
    assert float(records[1]["top1_paper_difference"]) == 1.7
    assert (tmp_path / "table.md").read_text().startswith("# Ablations of AlexNet\n")


def test_a_result_that_is_no_error_is_refused() -> None:
    for wrong in (1.5, -0.1, None, "0.3", True, math.nan):
        bad = runs()
        bad["base"][1]["metrics"]["val_top1_error"] = wrong
        with pytest.raises(UserError, match="must be from 0 to 1"):
            make_rows(load_experiment("ablations"), bad)


def test_collecting_takes_finished_runs_alone(tmp_path: Path) -> None:
    for seed, status in ((0, "completed"), (1, "failed")):
        folder = tmp_path / job_name("base", [f"seed={seed}"])
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(result(0.2, seed) | {"status": status}))
    found = collect(tmp_path, load_experiment("ablations"), [0, 1, 2])
    assert list(found["base"]) == [0]
    assert found["no-lrn"] == {}

    (tmp_path / job_name("base", ["seed=0"]) / "result.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        collect(tmp_path, load_experiment("ablations"), [0])
