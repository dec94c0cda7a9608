"""The table and its plot: what stands in them, that they are the same again, and that they say what is missing."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.claims.statistics import Estimate
from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.ablation_table import (
    AblationTable,
    make_table,
    markdown,
    print_table,
    with_interval,
    write_table,
)
from alexnet_lab.reports.collect import collect
from alexnet_lab.reports.forest_plot import draw, write_forest_plot
from alexnet_lab.reports.heading import about
from alexnet_lab.runs.paths import job_name
from reports.made_results import result, runs


def table(results: dict[str, dict[int, dict[str, object]]] | None = None, seeds: int = 3) -> AblationTable:
    return make_table(load_experiment("ablations"), runs() if results is None else results, seeds)


def test_rows_say_what_is_resolved() -> None:
    made = table()
    rows = {row.variant: row for row in made.rows}

    assert list(rows) == ["base", "one-tower", "no-lrn"]
    assert rows["base"].errors["top1"].mean == pytest.approx(22)
    assert rows["one-tower"].differences["top1"].estimate.mean == pytest.approx(31 / 3)
    lines = markdown(made, ["made up"]).splitlines()
    assert "| one tower, half the kernels | 3 | 32.3 ± 6.3 | +10.3 ± 1.4 | +1.7 | 0.004 | worse |" in lines
    assert next(line for line in lines if line.startswith("| no normalization")).endswith(
        "| +0.0 ± 4.3 | +1.4 | 1.000 | not resolved: about 21 seeds would resolve the paper's +1.4 |"
    )
    assert any("resolves with 80 % power: top-1 8.5, top-5 4.2 points" in line for line in lines)
    assert "nan" not in " ".join(lines)


def test_a_table_that_is_not_complete_says_so() -> None:
    results = runs()
    del results["no-lrn"][1]
    text = markdown(table(results), [])
    assert text.startswith("# Ablations of AlexNet, so far: 8 of 15 runs\n")
    assert "| 2 of 3 | 22.0 ± 12.7 |" in text
    assert "| so far |" in text
    assert "| worse |" in text  # complete, and will say the same when the others are

    whole = {name: by_seed for name in load_experiment("ablations").variants for by_seed in [runs()["base"]]}
    assert "so far" not in markdown(table(whole), [])


def test_the_files_hold_the_rows_and_are_the_same_again(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_table(folder, table(), about(runs()))
        write_forest_plot(folder, table())
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert files.keys() == {"table.md", "table.csv", "table.json", "forest.svg", "forest.png"}

    document = json.loads(files["table.json"])
    records = list(csv.DictReader(files["table.csv"].decode().splitlines()))
    assert [row["variant"] for row in document["rows"]] == [row["variant"] for row in records]
    assert (document["rows"][2]["top1_verdict"], records[2]["top1_verdict"]) == ("not resolved", "not resolved")
    assert document["rows"][2]["top1_seeds_needed"] == 21
    assert float(records[1]["top1_paper_difference"]) == 1.7
    assert float(records[1]["top1_margin"]) == 1.0
    assert float(records[1]["top1_p_corrected"]) == pytest.approx(4 * float(records[1]["top1_p"]))

    assert files["forest.png"].startswith(b"\x89PNG")
    assert b"<dc:date>" not in files["forest.svg"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_plot_draws_what_the_table_says(tmp_path: Path, seeds: int) -> None:
    made = table({name: {s: run for s, run in by_seed.items() if s < seeds} for name, by_seed in runs().items()}, seeds)
    figure = draw(made)
    top1, top5 = figure.axes
    assert [axes.get_title() for axes in (top1, top5)] == ["Top-1 error", "Top-5 error"]
    words = [text.get_text() for text in top1.texts]
    assert len(words) == 2  # the base has no line
    assert words[0].startswith(f"n = {seeds}\n")
    means = [line.get_xdata()[0] for line in top1.lines if line.get_marker() == "o"]
    papers = [line.get_xdata()[0] for line in top1.lines if line.get_marker() == "D"]
    assert means[0] == pytest.approx(31 / 3 if seeds == 3 else 10)
    assert papers == [1.7, 1.4]

    only_base = table({"base": runs()["base"]})
    write_forest_plot(tmp_path, only_base)  # nothing to draw is no error
    assert (tmp_path / "forest.svg").exists()


def test_narrow_intervals_have_more_decimals() -> None:
    cases = [(31.2, 0.8), (31.2, 0.04), (-0.01, 0.3), (0.0123, 0.0034), (5.0, None)]
    found = [with_interval(Estimate(mean, 3, 1.0, half_width), signed=True) for mean, half_width in cases]
    assert found == ["+31.2 ± 0.8", "+31.20 ± 0.04", "+0.0 ± 0.3", "+0.012 ± 0.003", "+5.0"]


def test_what_rows_differ_in_is_said_in_a_line_each() -> None:
    assert len(about(runs())) == 1
    results = runs()
    for run in results["no-lrn"].values():
        run["hardware"] = run["hardware"] | {"threads": 2}
        run["commit"] = "0123456789" * 4
    results["one-tower"][1]["versions"] = {"torch": "2.11", "lightning": "2"}
    first, *differing = about(results)
    assert "torch 2 or 2.11, lightning 2." in first
    assert differing == [
        "Rows differ in commit: unknown (base, one-tower); 01234567 (no-lrn).",
        "Rows differ in torch: 2 (base, one-tower, no-lrn); 2.11 (one-tower).",
        "Rows differ in threads: 1 (base, one-tower); 2 (no-lrn).",
    ]


def test_a_run_that_went_on_with_another_commit_differs_although_all_end_with_the_same() -> None:
    results = runs()
    for by_seed in results.values():
        for run in by_seed.values():
            here = {**run["hardware"], "versions": run["versions"], "commit": 40 * "b"}
            run |= {"commit": 40 * "b", "parts": [{"from_step": 0, **here}]}
    assert len(about(results)) == 1
    went_on = results["no-lrn"][1]
    went_on["parts"] = [went_on["parts"][0] | {"commit": 40 * "a"}, went_on["parts"][0] | {"from_step": 50}]
    [_, differing] = about(results)
    assert differing == "Rows differ in commit: bbbbbbbb (base, one-tower, no-lrn); aaaaaaaa (no-lrn)."


def test_hostile_words_of_results_reach_no_terminal_and_no_page(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[31m[red]|<img src=x>\n# \u202e" + 200 * "x"
    results = runs()
    for run in results["no-lrn"].values():
        run["versions"] = {"torch": hostile, "lightning": hostile}
        run["hardware"] = run["hardware"] | {"processor": hostile, "gpus": [hostile]}
        run["commit"] = hostile
        run["config"] = {"model": {"name": hostile}, "data": {"source": hostile, "image_size": 64}}
    lines = about(results)
    print_table(table(results), lines)
    printed, page = capsys.readouterr().out, markdown(table(results), lines)
    for text in (printed, page):
        assert not {"\x1b", "\u202e", "<", "["} & set(text)
        assert "img src" in text
        assert 100 * "x" not in text


def test_a_result_that_is_no_error_is_refused() -> None:
    for wrong in (1.5, -0.1, None, "0.3", True, math.nan):
        bad = runs()
        bad["base"][1]["metrics"]["val_top1_error"] = wrong
        with pytest.raises(UserError, match="must be from 0 to 1"):
            table(bad)


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


def test_the_status_of_an_experiment_shows_its_rows_so_far(program, tmp_path: Path) -> None:
    for name, by_seed in runs().items():
        for seed, run in by_seed.items():
            folder = tmp_path / "runs" / "mini" / job_name(name, [f"seed={seed}"])
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(run))
    answer = program("reproduce.py", "status", "experiment=ablations", "seeds=3")
    assert answer.returncode == 0, answer.stderr
    assert "15 jobs: 9 complete, 6 not started" in answer.stdout
    assert "so far: 9 of 15 runs" in answer.stdout
    assert "+10.3 ± 1.4" in answer.stdout
    assert not (tmp_path / "reports").exists()
