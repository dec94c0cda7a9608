"""The table below a sweep's jobs: it fills in as they end, and gives way on small screens."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.reports.live_table import LiveTable
from alexnet_lab.runs.paths import experiment_jobs, job_name
from alexnet_lab.sweeps.job_process import Job
from alexnet_lab.sweeps.live_view import JobView, LiveView
from alexnet_lab.sweeps.planning import Plan
from hydra_plugins.alexnet_lab_sweeps import table_of
from reports.made_results import result

EXPERIMENT = load_experiment("ablations")
JOBS = experiment_jobs(EXPERIMENT.variants, [0, 1])


def finish(view: LiveView, variant: str, seed: int, error: float) -> None:
    """A job ends with its result."""
    ended = next(shown for shown in view.jobs if shown.name == job_name(variant, [f"seed={seed}"]))
    ended.job.result = result(error, seed)
    ended.finish("done")


def jobs_in(folder: Path, names: list[str]) -> list[Job]:
    return [Job(name, folder / name, []) for name in names]


def view_of(folder: Path, width: int = 120, height: int = 60) -> tuple[LiveView, io.StringIO]:
    """A view that writes lines into a text, and would draw on a screen of this size."""
    view = LiveView(list(map(JobView, jobs_in(folder, JOBS))), 2, 0, LiveTable(EXPERIMENT, [0, 1]))
    text = io.StringIO()
    view.console = Console(file=text, width=width, height=height)
    view._live = None
    return view, text


def drawn(view: LiveView) -> str:
    with view.console.capture() as screen:
        view.console.print(view.table())
    return screen.get()


def test_a_row_is_said_when_it_and_the_base_are_complete(tmp_path: Path) -> None:
    view, text = view_of(tmp_path)

    view.refresh()
    assert "results so far" not in drawn(view)
    for variant, seed, error in (("one-tower", 0, 0.30), ("one-tower", 1, 0.35), ("base", 0, 0.20)):
        finish(view, variant, seed, error)
        view.refresh()
    assert "top-1 error 3" not in text.getvalue()
    row = next(line for line in drawn(view).splitlines() if "one tower" in line)
    assert row.split()[-2:] == ["so", "far"]

    finish(view, "base", 1, 0.24)
    view.refresh()
    view.refresh()
    said = [line for line in text.getvalue().splitlines() if "(n = 2)" in line]
    assert said == [
        "two towers, LRN, overlapping pooling (n = 2): top-1 error 22.0 ± 25.4 %",
        "one tower, half the kernels (n = 2): top-1 error 32.5 ± 31.8 %, +10.5 ± 6.4 against base: "
        "not resolved: about 6 seeds would resolve the paper's +1.7",
    ]
    screen = drawn(view)
    assert "not resolved" in next(line for line in screen.splitlines() if "one tower" in line)
    assert "no normalization" not in screen


def test_the_table_fits_the_screen_or_is_left_out(tmp_path: Path) -> None:
    for width, height in ((80, 24), (80, 30), (60, 12), (20, 5)):
        folder = tmp_path / f"{width}x{height}"
        folder.mkdir()
        view, _ = view_of(folder, width, height)
        for variant in EXPERIMENT.variants:
            finish(view, variant, 0, 0.2)
        view.refresh()
        lines = drawn(view).splitlines()
        assert len(lines) <= max(height, 10)
        assert max(map(len, lines)) <= width
        assert any("results so far" in line for line in lines) == (height >= 24)
        assert any("jobs ended" in line for line in lines) or width == 20


def test_a_sweep_of_an_experiment_has_a_table_and_others_have_none(tmp_path: Path) -> None:
    table = table_of(EXPERIMENT, Plan(tmp_path, jobs_in(tmp_path, JOBS), [0, 1]))
    assert table.jobs == set(JOBS)
    others = [f"{job}_model.dropout-0.1" for job in JOBS]
    assert table_of(EXPERIMENT, Plan(tmp_path, jobs_in(tmp_path, others), [0, 1])) is None
    assert table_of(None, Plan(tmp_path, jobs_in(tmp_path, ["seed-0", "seed-1"]), [0, 1])) is None
