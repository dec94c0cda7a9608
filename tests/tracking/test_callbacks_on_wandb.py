"""What callbacks log reaches W&B and the table beside it, and watching a network changes nothing of it."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image

from alexnet_lab.tracking.histogram import bins_of
from conftest import HANG
from tracking.test_offline import of_kind, read_offline
from training.continued_runs import outcome, own_signals, signal_at, tiny, train_until_done  # noqa: F401

pytestmark = pytest.mark.slow


class Talker(Callback):
    """Logs as people do who know Lightning and W&B."""

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        pl_module.log("norm_of_head", sum(float(p.detach().square().sum()) for p in pl_module.parameters()))
        trainer.logger.experiment.log({"half_step": trainer.global_step / 2, "ignored": object()})

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.log("epochs_squared", float(trainer.current_epoch**2))
        trainer.logger.experiment.log({"noise": np.arange(100.0), "square": Image.new("RGB", (4, 3), "red")})

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.logger.experiment.config.update({"of_talker": {"depth": torch.tensor(3)}})
        trainer.logger.experiment.summary["verdict"] = "good"


TALKER = (f"+callbacks={{talk: {{_target_: {Talker.__module__}.Talker}}}}",)


@pytest.fixture(scope="module")
def folders(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[dict[str, Any]]]]:
    """By name, runs with their records for W&B: one without a tracker, one that was interrupted in a validation."""
    top = tmp_path_factory.mktemp("talking")
    identity = ["logger.wandb.project=thesis", "logger.wandb.name=the one", "logger.wandb.tags=[red,mini]"]
    watched = ["logger=[wandb,csv]", "logger.wandb.watch=all", "logger.wandb.log_freq=7", *identity, *TALKER]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(top))
        patch.setenv("WANDB_NAME", "of the environment")
        for seconds in ("ENDING_SECONDS", "FINISH_SECONDS"):  # on a busy machine W&B takes longer
            patch.setattr(f"alexnet_lab.tracking.wandb_tracker.{seconds}", HANG)
        patch.setattr(sys, "argv", ["src/train.py", "data.url=https://lovelace:sesame@mirror.example/x"])
        train_until_done(tiny(store_root, "logger=csv", *TALKER), top / "plain")
        train_until_done(tiny(store_root, "logger=none", "optim.epochs=1", *TALKER), top / "alone")
        train_until_done(tiny(store_root, *watched, "logger.wandb.private=true", "optim.epochs=1"), top / "private")
        signal_at(patch, "validation_step", lambda module: module.trainer.global_step == 7)
        assert len(train_until_done(tiny(store_root, *watched), top / "interrupted")) == 1
    return {
        name: (top / name, [row for one in sorted((top / name).glob("wandb/*run-*")) for row in read_offline(one)])
        for name in ("plain", "alone", "private", "interrupted")
    }


def rows_of(records: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    for row in of_kind(records, "history"):
        rows.setdefault(row["item"]["_step"], {}).update(row["item"])
    return rows


def test_what_callbacks_log_is_at_its_step(folders) -> None:
    _, records = folders["interrupted"]
    rows = rows_of(records)
    assert sorted(rows) == list(range(1, 22))
    assert {step: row["half_step"] for step, row in rows.items()} == {step: step / 2 for step in rows}
    assert [row["epochs_squared"] for row in rows.values() if "epochs_squared" in row] == [0, 1, 4]
    assert all(row["norm_of_head"] > 0 for row in rows.values() if "norm_of_head" in row)
    assert (rows[14]["square.width"], rows[14]["square.height"]) == (4, 3)
    assert sum(rows[21]["noise.values"]) == 100
    assert not any("ignored" in row for row in rows.values())
    [run] = {row["run_id"]: row for row in of_kind(records, "run")}.values()
    assert (run["project"], run["display_name"], run["tags"]) == ("thesis", "the one", ["mini", "fractals", "red"])
    assert {"of_talker": {"depth": 3}} in [update.get("update") for update in of_kind(records, "config")]
    summary: dict[str, Any] = {}
    for update in of_kind(records, "summary"):
        summary |= update.get("update", {})
    assert summary["verdict"] == "good"
    assert "best_val_top1_error" in summary


def test_without_a_tracker_the_same_callback_has_its_numbers_in_the_run_folder(folders) -> None:
    with (folders["alone"][0] / "callback_metrics.csv").open() as file:
        rows = [(row["step"], float(row["value"])) for row in csv.DictReader(file) if row["key"] == "half_step"]
    assert rows == [(str(step), step / 2) for step in range(1, 8)]


def test_watching_shows_every_layer_and_changes_no_bit(folders) -> None:
    rows = rows_of(folders["interrupted"][1])
    watched = {step for step, row in rows.items() if any(key.startswith("gradients/") for key in row)}
    assert watched == {1, 7, 14, 21}
    checkpoint = torch.load(folders["plain"][0] / "checkpoints" / "last.ckpt", weights_only=True)
    for name, tensor in checkpoint["state_dict"].items():
        for kind in ("gradients", "parameters"):
            assert sum(rows[14][f"{kind}/{name.removeprefix('network.')}.values"]) == tensor.numel(), (kind, name)
    assert outcome(folders["interrupted"][0]) == outcome(folders["plain"][0])


def test_the_table_beside_it_loses_no_row_where_the_run_is_continued(folders) -> None:
    tables = {}
    for name in ("plain", "interrupted"):
        with (folders[name][0] / "csv_logger" / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        # What is said to W&B's run alone is in the table of a run without it.
        tables[name] = [row for row in rows if not row.pop("half_step", "")]
    assert [row["epochs_squared"] for row in tables["plain"] if row["epochs_squared"]] == ["0.0", "1.0", "4.0"]
    assert [row["step"] for row in tables["plain"] if row["val_loss"]] == ["6", "13", "20"]
    assert tables["interrupted"] == tables["plain"]


def test_the_machine_is_told_as_wandb_tells_it_unless_that_is_private(folders) -> None:
    folder, records = folders["interrupted"]
    environments: dict[str, Any] = {}
    for part in of_kind(records, "environment"):
        environments |= part
    assert environments["program"].endswith("src/train.py")
    assert environments["args"] == ["data.url=https://mirror.example/x"]
    assert environments["host"] == os.uname().nodename
    assert environments["executable"] == sys.executable
    assert environments["cpu_count"] > 0
    assert list(of_kind(records, "stats"))
    assert [path.name for path in folder.glob("wandb/*/files/requirements.txt")] == ["requirements.txt"] * 2
    assert "sesame" not in json.dumps(records)

    folder, records = folders["private"]
    assert list(of_kind(records, "history"))
    assert not list(of_kind(records, "environment"))
    for private in (os.uname().nodename, "mirror.example", sys.executable, str(Path.cwd())):
        # As a word: W&B's random identifiers may begin with the letters of a short name.
        assert not re.search(rf'"{re.escape(private)}(?!\w)', json.dumps(records)), private
    assert not list(folder.glob("wandb/*/files/requirements.txt"))


@pytest.mark.parametrize("values", [torch.arange(640.0), torch.full((5,), 2.0), torch.tensor([1.0, torch.nan, 2.0])])
def test_a_histogram_counts_as_numpy_does(values: torch.Tensor) -> None:
    counts, low, high = bins_of(values)
    finite = values[torch.isfinite(values)].numpy()
    expected, edges = np.histogram(finite, 64)
    assert (counts, low, high) == (expected.tolist(), float(edges[0]), float(edges[-1]))
