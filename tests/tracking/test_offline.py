"""Without an account or a network, a run on W&B stays on the disk, complete, and costs nothing but that."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from alexnet_lab.core.errors import UserError
from alexnet_lab.tracking.installed import check_trackers
from alexnet_lab.tracking.make_tracker import make_tracker
from config.test_config import composed
from conftest import HANG
from tracking.tracked import on_a_terminal, starter

pytestmark = pytest.mark.slow


def read_offline(folder: Path) -> list[dict[str, Any]]:
    """The records of an offline run, as wandb's own reader prints them."""
    wandb = Path(sys.executable).with_name("wandb")
    answer = subprocess.run([wandb, "leet", "inspect", "--json", folder], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def of_kind(records: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (record[kind] for record in records if record["type"] == kind)


def test_an_offline_sweep_leaves_a_run_each_which_a_restart_continues(program, small, tmp_path: Path) -> None:
    sweep = (*small, "logger=wandb", "sweep=tracked", "trainer.max_epochs=2", "seed=0,1", "model.lrn=true,false", "-m")
    agent = {"WANDB_SWEEP_ID": "sweep0", "WANDB_RUN_ID": "planned0"}  # whose run would be all of the sweep's
    first = starter(tmp_path)("train.py", *sweep, environment=agent)
    while first.poll() is None and not list(tmp_path.glob("runs/tracked/*/wandb/offline-run-*/*.wandb")):
        time.sleep(0.05)
    first.kill()
    first.communicate()
    begun = {path.parent.name: path.read_text() for path in tmp_path.glob("runs/tracked/*/wandb_run_id")}
    assert begun

    answer = program("train.py", *sweep)
    assert answer.returncode == 0, answer.stderr
    assert "W&B: 4 runs of runs/tracked are on the disk alone; `make sync` uploads them" in answer.stderr

    folders = [path for path in sorted((tmp_path / "runs" / "tracked").iterdir()) if path.is_dir()]
    assert len(folders) == 4
    ids = {folder.name: (folder / "wandb_run_id").read_text() for folder in folders}
    assert len(set(ids.values()) - {"planned0\n"}) == 4
    assert begun.items() <= ids.items()
    for folder in folders:
        check_run(folder)

    shown = [number.strip() for number in ids.values()]
    assert on_a_terminal(tmp_path, shown, "dashboard.py", "sweep=tracked", "terminal=true") == 0


def test_two_ranks_are_one_run_that_counts_each_image_once(program, small, tmp_path: Path) -> None:
    ranks = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
    answer = program("train.py", *small, *ranks, "logger=wandb", "logger.log_artifacts=false", "sweep=two")
    assert answer.returncode == 0, answer.stderr

    [offline] = tmp_path.glob("runs/two/*/wandb/offline-run-*")
    records = read_offline(offline)
    assert list(of_kind(records, "artifact")) == []
    last = list(of_kind(records, "history"))[-1]["item"]
    right = round((1 - last["val_top1_error"]) * 49)
    assert last["confusion_matrix.caption"] == f"confusion matrix after epoch 1: {right} of 49 right"


def test_where_wandb_is_not_installed_a_run_says_so_and_does_without(small, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "wandb.py").write_text("raise ImportError\n")
    without = {"PYTHONPATH": str(tmp_path / "nothing")}
    process = starter(tmp_path)("train.py", *small, "logger=wandb", "sweep=bare", environment=without)
    output = process.communicate(timeout=HANG)[0]
    assert process.returncode == 0, output
    assert output.count("W&B") == 1
    assert "W&B: not used (wandb is not installed); the run folder has everything" in output
    assert not list(tmp_path.glob("runs/bare/*/wandb"))


def test_switched_off_it_leaves_nothing_and_what_its_variables_say_is_recorded(small, tmp_path: Path) -> None:
    for mode in ("disabled", "offline"):
        said = {"WANDB_MODE": mode, "WANDB_PROJECT": "thesis", "WANDB_NOTES": "after the fix", "WANDB_TAGS": "blue"}
        process = starter(tmp_path)("train.py", *small, "logger=wandb", f"sweep={mode}", environment=said)
        assert process.wait(HANG) == 0
    assert not list(tmp_path.glob("runs/disabled/*/wandb"))
    [offline] = tmp_path.glob("runs/offline/*/wandb/offline-run-*")
    [run] = of_kind(read_offline(offline), "run")
    assert (run["project"], run["notes"], run["tags"]) == ("thesis", "after the fix", ["mini", "fractals", "blue"])


def test_a_run_that_has_to_be_online_does_not_begin_without_a_key(small, tmp_path: Path) -> None:
    process = starter(tmp_path)("train.py", *small, "logger=wandb", "logger.wandb.mode=online")
    said = process.communicate(timeout=HANG)[0]
    assert process.returncode == 2, said
    assert said.startswith("error: logger.wandb.mode=online: no key; run `wandb login`, or set WANDB_API_KEY")
    assert not (tmp_path / "runs").exists()


def test_a_tracker_that_is_not_installed_ends_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet_lab.tracking.installed.find_spec", lambda name: None)
    for name, client in {"mlflow": "pip install mlflow-skinny", "tensorboard": "pip install tensorboard"}.items():
        with pytest.raises(UserError, match=f"logger={name}: .* is not installed; {client}"):
            check_trackers(composed(f"logger=[wandb,{name}]").logger)
    check_trackers(composed("logger=[wandb,csv]").logger)


def test_ones_own_tracker_may_have_others_beside_it(tmp_path: Path) -> None:
    own = ("logger=own", "logger._target_=lightning.pytorch.loggers.CSVLogger", "logger.flush_logs_every_n_steps=3")
    tracker = make_tracker(composed(*own, "logger.with_csv=true", "logger.with_wandb=true"), tmp_path, lambda by: None)
    assert [type(logger).__name__ for logger in tracker.loggers] == ["WandbLogger", "CsvLogger", "CSVLogger"]
    [alone] = make_tracker(composed(*own), tmp_path, lambda by: None).loggers
    assert alone.save_dir == str(tmp_path)


def check_run(folder: Path) -> None:
    """What wandb's own reader finds in a run's folder: in its last record, and of rows in all of them together."""
    seed, lrn = int(folder.name.split("_")[0][-1]), str("true" in folder.name).lower()
    records = sorted(folder.glob("wandb/offline-run-*"))
    rows: dict[int, dict[str, Any]] = {}
    for offline in records:
        content = read_offline(offline)
        for row in of_kind(content, "history"):
            # What a killed run said of its last step and what the next one adds to it are two rows.
            rows.setdefault(row["item"]["_step"], {}).update(row["item"])
        [run] = of_kind(content, "run")
        assert (folder / "wandb_run_id").read_text().strip() == run["run_id"]
        assert run["display_name"] == f"model.lrn-{lrn}_seed-{seed}"
        assert (run["run_group"], run["job_type"], run["project"]) == ("tracked", "train", "alexnet-lab")
        assert set(run["tags"]) == {"mini", "fractals"}
        config = run["config"]["update"]
        assert (config["model.lrn"], config["seed"], config["optim.batch_size"]) == (lrn == "true", seed, 32)
        assert config["variant"] == f"model.lrn-{lrn}"
    assert sorted(rows) == list(range(1, 29))
    assert all(round(row["epoch"] * 14) == step and row["train_loss"] > 0 for step, row in rows.items())
    epochs = [row for row in rows.values() if "val_top1_error" in row]
    assert sorted(row["epoch"] for row in epochs) == [1, 2]
    result = json.loads((folder / "result.json").read_text())
    assert abs(rows[28]["val_top1_error"] - result["metrics"]["val_top1_error"]) < 1e-6
    assert rows[28]["images_per_second"] > 0
    for name in ("conv1_kernels", "confusion_matrix", "top5", "misclassified"):
        with Image.open(records[-1] / "files" / rows[28][f"{name}.path"]) as image:
            assert image.size == (rows[28][f"{name}.width"], rows[28][f"{name}.height"])
    summary: dict[str, Any] = {}
    for update in of_kind(content, "summary"):
        summary |= update["update"]
    assert abs(summary["best_val_top1_error"] - result["metrics"]["best_val_top1_error"]) < 1e-6
    assert abs(summary["final_val_top5_error"] - result["metrics"]["val_top5_error"]) < 1e-6
    assert [metric["step_metric"] for metric in of_kind(content, "metric") if metric.get("glob_name")] == ["epoch"]
    [artifact] = of_kind(content, "artifact")
    assert artifact["manifest"]["contents"][0]["path"] == "best.safetensors"
    assert [ending.get("exit_code", 0) for ending in of_kind(content, "exit")] == [0]
