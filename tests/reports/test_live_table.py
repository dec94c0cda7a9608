"""The table below a sweep's jobs: it fills in as they end, reads each result once, and gives way on small screens."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.reports import live_table
from alexnet_lab.reports.live_table import LiveTable
from alexnet_lab.runs.paths import experiment_jobs, job_name
from alexnet_lab.sweeps.live_view import JobView, LiveView
from hydra_plugins.alexnet_lab_sweeps import LocalLauncher
from reports.made_results import result

EXPERIMENT = load_experiment("ablations")
JOBS = experiment_jobs(EXPERIMENT.variants, [0, 1])


def finish(view: LiveView, folder: Path, variant: str, seed: int, error: float) -> None:
    """A job leaves its result and ends."""
    name = job_name(variant, [f"seed={seed}"])
    (folder / name).mkdir()
    (folder / name / "result.json").write_text(json.dumps(result(error, seed)))
    next(job for job in view.jobs if job.name == name).finish("done")


def view_of(folder: Path, width: int = 120, height: int = 60) -> tuple[LiveView, io.StringIO]:
    """A view that writes lines into a text, and would draw on a screen of this size."""
    view = LiveView([JobView(name, folder / name) for name in JOBS], 2, 0, LiveTable(folder, EXPERIMENT, [0, 1]))
    text = io.StringIO()
    view.console = Console(file=text, width=width, height=height)
    view._live = None
    return view, text


def drawn(view: LiveView) -> str:
    with view.console.capture() as screen:
        view.console.print(view.table())
    return screen.get()


def test_a_row_is_said_when_it_and_the_base_are_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = live_table.read_result
    monkeypatch.setattr(live_table, "read_result", lambda folder: reads.append(folder.name) or read(folder))
    view, text = view_of(tmp_path)

    view.refresh()
    assert "results so far" not in drawn(view)
    for variant, seed, error in (("one-tower", 0, 0.30), ("one-tower", 1, 0.35), ("base", 0, 0.20)):
        finish(view, tmp_path, variant, seed, error)
        view.refresh()
    assert "top-1 error 3" not in text.getvalue()
    row = next(line for line in drawn(view).splitlines() if "one tower" in line)
    assert row.split()[-2:] == ["so", "far"]

    finish(view, tmp_path, "base", 1, 0.24)
    view.refresh()
    view.refresh()
    said = [line for line in text.getvalue().splitlines() if "(n = 2)" in line]
    assert said == [
        "two towers, LRN, overlapping pooling (n = 2): top-1 error 22.0 ± 25.4 %",
        "one tower, half the kernels (n = 2): top-1 error 32.5 ± 31.8 %, +10.5 ± 6.4 against base: "
        "not resolved: about 6 seeds would resolve the paper's +1.7",
    ]
    assert sorted(reads) == sorted(job for job in JOBS if job.startswith(("base", "one-tower")))
    screen = drawn(view)
    assert "not resolved" in next(line for line in screen.splitlines() if "one tower" in line)
    assert "no normalization" not in screen


def test_the_table_fits_the_screen_or_is_left_out(tmp_path: Path) -> None:
    for width, height in ((80, 24), (80, 30), (60, 12), (20, 5)):
        folder = tmp_path / f"{width}x{height}"
        folder.mkdir()
        view, _ = view_of(folder, width, height)
        for variant in EXPERIMENT.variants:
            finish(view, folder, variant, 0, 0.2)
        view.refresh()
        lines = drawn(view).splitlines()
        assert len(lines) <= max(height, 10)
        assert max(map(len, lines)) <= width
        assert any("results so far" in line for line in lines) == (height >= 24)
        assert any("jobs ended" in line for line in lines) or width == 20


def test_a_result_that_is_damaged_meanwhile_leaves_the_view_alone(tmp_path: Path) -> None:
    view, _ = view_of(tmp_path)
    finish(view, tmp_path, "base", 0, 0.2)
    (tmp_path / job_name("base", ["seed=0"]) / "result.json").write_text("{")
    view.refresh()
    assert "results so far" not in drawn(view)


def test_a_sweep_of_an_experiment_has_a_table_and_others_have_none(tmp_path: Path) -> None:
    launcher = LocalLauncher(None, 1)
    launcher.config = OmegaConf.create({"hydra": {"sweeper": {"experiment": "ablations"}}})
    assert launcher._results(tmp_path, set(JOBS), [0, 1]).jobs == set(JOBS)
    assert launcher._results(tmp_path, {f"{job}_model.dropout-0.1" for job in JOBS}, [0, 1]) is None
    launcher.config = OmegaConf.create({"hydra": {"sweeper": {"experiment": None}}})
    assert launcher._results(tmp_path, {"seed-0", "seed-1"}, [0, 1]) is None
