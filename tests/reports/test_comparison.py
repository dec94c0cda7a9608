"""src/compare.py: any sweep's table, the difference of two, and what is left out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from alexnet_lab.cli.composed import compose
from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.comparison import SweepComparison, compare_sweeps
from alexnet_lab.reports.comparison_table import markdown, notes, records
from alexnet_lab.reports.learning_curves import draw, read_curves
from alexnet_lab.runs.config_snapshot import configuration, to_yaml
from alexnet_lab.runs.metrics import COLUMNS, row_text
from alexnet_lab.runs.sweep_results import read_sweep
from conftest import Program
from reports.made_results import result

IMAGES = {"identity": "1" * 64, "classes": 10, "train": 100, "val": 50}
EPOCHS = 2


def make(folder: Path, overrides: list[str], errors: list[float], **changed: Any) -> None:
    """Runs of these settings, one a seed, that nobody has made."""
    for seed, error in enumerate(errors):
        run = compose("model=mini", "trainer.max_epochs=2", *overrides, f"seed={seed}")
        run_folder = folder / "_".join([*(text.replace("=", "-") for text in overrides), f"seed-{seed}"])
        run_folder.mkdir(parents=True)
        (run_folder / "config.yaml").write_text(to_yaml(run))
        facts = {"schema_version": 2, "epochs": EPOCHS, "images": IMAGES, "config": configuration(run), **changed}
        facts["parameters"] = run.model.number_of_parameters(10)
        (run_folder / "result.json").write_text(json.dumps(result(error, seed) | facts))
        rows = [
            row_text(
                {"epoch": epoch, "step": epoch, "train_epoch_loss": 2.0 - epoch, "val_top1_error": error + 1 - epoch}
            )
            if error + 1 - epoch <= 1
            else row_text({"epoch": epoch, "step": epoch, "train_epoch_loss": 2.0, "val_top1_error": 1.0})
            for epoch in range(EPOCHS)
        ]
        (run_folder / "metrics.csv").write_text(",".join(COLUMNS) + "\n" + "".join(rows))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    make(folder / "A", ["model.dropout=0.5"], [0.20, 0.24, 0.22])
    make(folder / "A", ["model.dropout=0"], [0.30, 0.35, 0.32])
    return folder


def compared(*folders: Path) -> SweepComparison:
    return compare_sweeps([read_sweep(folder) for folder in folders])


def test_a_free_sweep_has_a_row_for_each_setting_with_its_interval(program: Program, runs: Path) -> None:
    answer = program("compare.py", "runs/A")
    assert answer.returncode == 0, answer.stderr
    with (runs / "A" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model.dropout"] for row in rows] == ["0.0", "0.5"]
    assert [row["best"] for row in rows] == ["False", "True"]
    assert float(rows[1]["top1_error"]) == pytest.approx(22.0)
    assert float(rows[1]["top1_half_width"]) == pytest.approx(4.968, abs=1e-3)  # 4.303 * 2 / sqrt(3)
    assert "22.0 ± 5.0" in answer.stdout
    assert "Best run: runs/A/model.dropout-0.5_seed-0: top-1 error 20.00 %." in answer.stdout

    document = json.loads((runs / "A" / "comparison.json").read_text())
    assert len(document["runs"]) == 6
    assert "| 0.5 | 3 | 22.0 ± 5.0 | 11.0 ± 2.5 | best |" in (runs / "A" / "comparison.md").read_text()
    assert (runs / "A" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (runs / "A" / "learning_curves.svg").read_bytes()


def test_two_sweeps_differ_by_what_pairs_of_seeds_say(runs: Path) -> None:
    make(runs / "B", ["optim.learning_rate=0.5", "model.dropout=0.5"], [0.25, 0.29, 0.275])
    make(runs / "B", ["optim.learning_rate=0.5", "model.dropout=0.1"], [0.25])
    found = compared(runs / "A", runs / "B")
    assert (found.shown, found.between) == (["model.dropout"], ["optim.learning_rate"])
    [pair] = found.pairs
    difference = pair.differences["top1"]
    assert (difference.paired, difference.estimate.n, str(difference.verdict)) == (True, 3, "better")
    assert difference.estimate.mean == pytest.approx(-31 / 6)
    with_difference = [row for row in records(found) if row["top1_difference"] is not None]
    assert [(row["sweep"], row["model.dropout"]) for row in with_difference] == [("A", "0.5")]
    assert any("A and B differ in optim.learning_rate: " in line for line in notes(found))
    assert "**A minus B**" in markdown(found, [])


def test_settings_that_change_together_have_one_column(runs: Path) -> None:
    make(runs / "models", [], [0.2])
    make(runs / "models", ["model=cifar10_net"], [0.3], parameters=1)
    found = compared(runs / "models")
    assert found.shown == ["model.name"]
    assert "model.architecture" in found.together["model.name"]
    assert len(found.rows) == 2


def test_what_is_unfinished_damaged_or_contradicts_itself_is_left_out_with_a_word(runs: Path, tmp_path: Path) -> None:
    names = sorted(folder.name for folder in (runs / "A").iterdir())
    folders = [runs / "A" / name for name in names]
    (folders[0] / "result.json").unlink()
    (folders[1] / "result.json").write_text("{")
    (folders[2] / "config.yaml").write_text(
        (folders[2] / "config.yaml").read_text().replace("dropout: 0.5", "dropout: 0.3")
    )
    (folders[3] / "metrics.csv").write_bytes(b"\xff\xfe")
    (folders[4] / "result.json").unlink()
    (folders[4] / "result.json").symlink_to("/etc/passwd")
    (runs / "A" / "link").symlink_to(folders[5])
    found = compared(runs / "A")
    assert [sorted(row.runs) for row in found.rows] == [[0, 2]]
    curves = read_curves(found)
    said = "\n".join([*found.notes, *curves.notes])
    for words in (
        f"A: 1 run is not complete and left out: {names[0]}",
        f"{names[1]}/result.json: is damaged",
        f"{names[2]}: its config.yaml says model.dropout=0.3, not 0.5 in its result.json",
        f"{names[3]}/metrics.csv: cannot be read",
        f"{names[4]}/result.json: is a symbolic link",
        "link: is a symbolic link",
    ):
        assert words in said
    assert len(draw(curves).axes[1].lines) == 1


def test_a_run_that_saw_a_part_of_the_data_is_left_out(runs: Path) -> None:
    make(runs / "A", ["model.dropout=0.1"], [0.1], partial=["trainer.limit_train_batches=2"])
    found = compared(runs / "A")
    assert [row.settings["model.dropout"] for row in found.rows] == ["0.0", "0.5"]
    assert any("saw a part of the data alone (trainer.limit_train_batches=2)" in note for note in found.notes)


def test_the_same_settings_on_other_images_are_refused(runs: Path) -> None:
    make(runs / "B", ["model.dropout=0.5"], [0.2], images=IMAGES | {"identity": "2" * 64})
    with pytest.raises(UserError, match="was trained on other images"):
        compared(runs / "A", runs / "B")


def test_hostile_settings_mean_nothing_on_a_page(runs: Path) -> None:
    make(runs / "C", [], [0.2])
    make(runs / "C", ["seed=0", "optim.name='<img src=x>[a](b)|'"], [0.2])
    found = compared(runs / "C")
    assert found.shown == ["optim.name"]
    assert not {"<", "["} & set(markdown(found, []))


def test_what_cannot_be_compared_is_said_before_anything_is_written(program: Program, runs: Path) -> None:
    (runs / "empty").mkdir()
    (runs / "loop").symlink_to("loop")
    for words, said in (
        ([], "0 folders: name one sweep's or two"),
        (["runs/none"], "runs/none: no such folder"),
        (["runs/loop"], "runs/loop: no such folder"),
        (["runs/A", "out=runs/A/model.dropout-0_seed-0/metrics.csv"], "may not be written"),
        (["runs/empty"], "has no complete run"),
        (["runs/A", "runs/A"], "is named twice"),
        (["runs/A", "ot=x"], "ot: no such key"),
    ):
        answer = program("compare.py", *words)
        [line] = answer.stderr.splitlines()
        assert (answer.returncode, said in line) == (2, True), line
    assert not list(runs.rglob("comparison*"))
