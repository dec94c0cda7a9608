"""How a run is called on W&B, and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet_lab.runs.paths import job_name
from alexnet_lab.tracking.run_identity import description, run_id, shown
from config.test_config import composed


@pytest.mark.parametrize("length", range(0, 90, 3))  # the longer the name, the earlier it is cut
def test_where_data_lies_and_comes_from_is_left_out(length: int, tmp_path: Path) -> None:
    images = tmp_path / ("lovelace" + length * "a")
    images.mkdir()
    private = [
        f"data.root={images}",
        "data.store_root=/scratch/lovelace",
        "data.url=https://lovelace:sesame@mirror.example",
    ]
    for told_where in (private, private[1:], private[2:]):
        overrides = ["model.lrn=false", *told_where, "seed=3"]
        folder = tmp_path / job_name("", overrides)
        folder.mkdir(exist_ok=True)
        told = description(composed("data=cifar10", *private, *overrides, "sweep=ours"), folder, 10, devices=1)
        assert told["name"] == "model.lrn-false_seed-3"
        assert (told["config"]["model.lrn"], told["config"]["variant"]) == (False, "model.lrn-false")
        assert not [word for word in ("lovelace", "sesame", "mirror", str(tmp_path)) if word in str(told)]


def test_an_agents_name_for_a_run_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = run_id(tmp_path)
    assert run_id(tmp_path) == own
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    monkeypatch.setenv("WANDB_RUN_ID", "planned0")
    assert run_id(tmp_path) == "planned0"
    monkeypatch.delenv("WANDB_SWEEP_ID")
    monkeypatch.delenv("WANDB_RUN_ID")
    assert run_id(tmp_path) == "planned0"


def test_what_the_environment_says_to_wandb_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WANDB_PROJECT": "thesis",
        "WANDB_NAME": "the one",
        "WANDB_NOTES": "after the fix",
        "WANDB_RUN_GROUP": "chapter 2",
        "WANDB_JOB_TYPE": "ablation",
        "WANDB_TAGS": "blue,green",
        "WANDB_RUN_ID": "mine0",
    }.items():
        monkeypatch.setenv(name, value)
    told = description(composed("sweep=ours"), tmp_path, 10, devices=1)
    assert {key: told[key] for key in told if key != "config"} == {
        "id": "mine0",
        "entity": None,  # which W&B's client reads itself
        "project": "thesis",
        "name": "the one",
        "notes": "after the fix",
        "group": "chapter 2",
        "job_type": "ablation",
        "tags": ["mini", "fractals", "blue", "green"],
    }
    words = ("project", "entity", "name", "notes", "group", "job_type", "id")
    said = composed(*(f"logger.wandb.{word}=own" for word in words), "logger.wandb.tags=[red]")
    told = description(said, tmp_path, 10, devices=1)
    assert {told[word] for word in words} == {"own"}
    assert told["tags"] == ["mini", "fractals", "blue", "green", "red"]
    assert description(composed("logger.project=own"), tmp_path, 10, devices=1)["project"] == "own"  # as it once was


def test_a_command_is_told_without_what_looks_like_a_secret() -> None:
    assert shown("data.url=https://lovelace:sesame@mirror.example/a@b") == "data.url=https://mirror.example/a@b"
    assert shown("logger.api_key=sesame") == "logger.api_key=..."
    assert shown("model.lrn=true") == "model.lrn=true"
