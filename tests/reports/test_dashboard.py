"""The workspace, the report and the table of a sweep, saved by real clients to a stand-in for the W&B server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import HANG
from tracking.stand_in import KEY, StandIn
from tracking.tracked import starter

ROW = {
    "variant": "base", "label": "two towers, LRN, overlapping pooling", "parameters": 1479028, "n": 3, "seeds": "0 1 2",
    "top1_error": 29.4, "top1_half_width": 12.9, "top1_difference": None, "top1_difference_half_width": None,
    "top1_verdict_in_words": None, "top1_paper_difference": None, "top1_original_error": 40.664,
    "top5_error": 3.4, "top5_half_width": 1.9, "top5_difference": None, "top5_difference_half_width": None,
    "top5_verdict_in_words": None, "top5_paper_difference": None, "top5_original_error": 18.21,
}  # fmt: skip
OTHER = ROW | {
    "variant": "no-lrn", "label": "no normalization", "top1_error": 21.5, "top1_difference": -7.9,
    "top1_difference_half_width": 14.0, "top1_verdict_in_words": "not resolved: made up", "top1_paper_difference": 1.4,
    "top5_difference": -1.6, "top5_difference_half_width": 3.5, "top5_verdict_in_words": "not resolved",
    "top5_paper_difference": 1.2,
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """The folder of a sweep's table; the sweep has one run that kept its weights."""
    folder = tmp_path / "runs" / "ablations"
    (folder / "base_seed-0").mkdir(parents=True)
    (folder / "base_seed-0" / "wandb_run_id").write_text("abcd1234\n")
    table = {"schema_version": 2, "notes": ["Note."], "title": "Ablations", "about": "2 runs.", "rows": [ROW, OTHER]}
    tables = tmp_path / "reports" / "ablations" / "ablations"  # of the sweep and of the experiment
    tables.mkdir(parents=True)
    (tables / "table.json").write_text(json.dumps(table))
    (tables / "table.md").write_text("| variant |\n")
    return tables


def test_saving_the_dashboard_twice_gives_one(sweep: Path, tmp_path: Path) -> None:
    start = starter(tmp_path)
    with StandIn() as server:
        facts = {"name": "weights-abcd1234", "type": "model", "digest": "d", "state": "COMMITTED", "aliases": ["best"]}
        server.artifacts["weights"] = facts  # as the run uploaded them
        for _ in range(2):
            process = start("dashboard.py", "sweep=ablations", environment=server.environment)
            output = process.communicate(timeout=HANG)[0]
            assert process.returncode == 0, output
            assert [line.split(":")[0] for line in output.strip().splitlines()] == ["workspace", "report", "table"]
        assert server.unknown == []
        by_type = {view["type"]: view for view in server.views.values()}
        assert len(server.views) == 2
        assert by_type.keys() == {"project-view", "runs"}

        workspace = json.loads(by_type["project-view"]["spec"])
        sections = workspace["section"]["panelBankConfig"]["sections"]
        assert [section["name"] for section in sections] == [
            "Table", "Learning curves", "Throughput", "Kernels and predictions", "System",
        ]  # fmt: skip
        curve = next(panel["config"] for panel in sections[1]["panels"])
        assert (curve["metrics"], curve["xAxis"]) == (["val_top1_error"], "epoch")
        assert (curve["groupBy"], curve["groupAgg"], curve["groupArea"]) == ("variant.value", "mean", "stderr")
        assert "summary:final_val_top1_error" in by_type["project-view"]["spec"]
        assert all(
            key in by_type["project-view"]["spec"] for key in ("conv1_kernels", "images_per_second", "gpu.0.gpu")
        )

        report = by_type["runs"]["spec"]
        assert by_type["runs"]["displayName"] == "Ablations of AlexNet: ablations"
        assert "| no normalization | 3 | 21.5 ± 12.9 | -7.9 ± 14.0 (not resolved: made up) | +1.4 |" in json.loads(
            json.dumps(report).replace("\\\\u00b1", "±")
        )
        assert "37.473" in report  # of the original program
        assert "make reproduce-table" in report

        [table] = [artifact for artifact in server.artifacts.values() if artifact["type"] == "table"]
        assert (table["name"], table["type"], table["state"]) == ("table-ablations", "table", "COMMITTED")
        assert table["files"]["table.json"] == (sweep / "table.json").read_bytes()
        [run] = server.runs.values()
        assert (run.bucket["jobType"], run.bucket["groupName"], run.exit_code) == ("table", "ablations", 0)
        assert server.used == {"weights-abcd1234"}
        for private in (KEY, str(tmp_path)):
            assert private.encode() not in server.sent


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["sweep=ablations"], "no key; run `wandb login`, or set WANDB_API_KEY"), (["sweep=none"], "no such sweep")],
)
def test_without_an_account_or_a_sweep_it_says_what_to_do(arguments: list[str], said: str, sweep, tmp_path) -> None:
    process = starter(tmp_path)("dashboard.py", *arguments)
    output = process.communicate(timeout=HANG)[0]
    assert process.returncode == 2
    assert said in output
    assert len(output.strip().splitlines()) == 1
