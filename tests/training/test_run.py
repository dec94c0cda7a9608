"""A run leaves everything about itself in its folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tracking.tracked import on_a_terminal

pytestmark = pytest.mark.slow


def test_a_run_folder_holds_the_whole_run(program, small, tmp_path: Path) -> None:
    answer = program("train.py", *small, "trainer.max_epochs=2", "model.lrn=false", "seed=3", "sweep=mine")
    assert answer.returncode == 0, answer.stderr

    [folder] = (tmp_path / "runs" / "mine").iterdir()
    assert {file.name for file in folder.iterdir()} >= {
        "config.yaml",
        "result.json",
        "metrics.csv",
        "checkpoints",
        "train.log",
    }
    # The screen has what one waits for, and the log the rest.
    screen = answer.stdout.splitlines()
    assert screen[0].startswith("mini (")
    assert "on fractals: 448 training and 49 validation images of 7 classes; epochs: 2, batches of 32" in screen[0]
    assert screen[1].startswith(f"run folder: {folder.relative_to(tmp_path)} ")
    assert [line.split(":")[0] for line in screen[2:]] == ["epoch 1 of 2", "epoch 2 of 2", "done", "next"]
    assert screen[-1] == f"next: python src/evaluate.py run={folder.relative_to(tmp_path)} views=ten-crop"
    assert "configuration:\nversion: 2\nseed: 3\n" in (folder / "train.log").read_text()

    config = OmegaConf.load(folder / "config.yaml")
    assert (config.model.lrn, config.seed, config.trainer.max_epochs) == (False, 3, 2)

    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "completed"
    assert result["seed"] == 3
    assert result["epochs"] == 2
    assert result["steps"] == 2 * (7 * 64 // 32)
    assert "model.lrn=false" in result["overrides"]
    assert result["parameters"] > 1e6
    assert result["train_images_per_second"] > 0
    assert 0 < result["wall_seconds"] < 300
    assert {"schema_version", "hardware", "versions", "commit", "config"} <= result.keys()
    for error in ("val_top1_error", "val_top5_error"):
        assert 0 <= result["metrics"][error] <= 1
        wrong = result["metrics"][error] * 7 * 7  # of 49 images, each counted once
        assert abs(wrong - round(wrong)) < 1e-4

    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows if row["train_loss"]]
    assert steps == list(range(1, 29))
    assert [row["val_top1_error"] != "" for row in rows].count(True) == 2

    for name in ("best", "last"):
        checkpoint = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert any(key.startswith("network.conv1") for key in checkpoint["state_dict"])


def test_on_a_terminal_a_bar_shows_loss_and_error(small, tmp_path: Path) -> None:
    words = ["epoch 2 of 2", "loss:", "val error:", "next: python"]
    assert on_a_terminal(tmp_path, words, "train.py", *small, "trainer.max_epochs=2") == 0


def test_the_same_seed_gives_the_same_run(program, small, tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert program("train.py", *small, f"sweep={name}").returncode == 0

    def losses(name: str) -> list[str]:
        [folder] = (tmp_path / "runs" / name).iterdir()
        with (folder / "metrics.csv").open() as file:
            return [row["train_loss"] for row in csv.DictReader(file)]

    assert losses("first") == losses("second")


def test_it_trains_on_a_folder_of_images_of_any_size_and_mode(program, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split, number in (("train", 12), ("val", 4)):
        for shade, name in enumerate(("ash", "birch", "oak")):
            folder = tmp_path / "leaves" / split / name
            folder.mkdir(parents=True)
            for index in range(number):
                size = (int(random.integers(40, 200)), int(random.integers(40, 200)))
                mode = ("RGB", "L", "RGBA", "P", "CMYK", "1")[index % 6]
                image = Image.effect_noise(size, 60 + 40 * shade).convert("RGB").convert(mode)
                ending = "png" if mode in ("RGBA", "P", "1") else "JPEG" if index % 2 else "jpg"
                image.save(folder / f"{index}.{ending}")

    images = ("data=folder", f"data.root={tmp_path / 'leaves'}", "optim.batch_size=64")
    answer = program("train.py", *images, "trainer.max_epochs=2", "sweep=leaves")

    assert answer.returncode == 0, answer.stderr
    [folder] = (tmp_path / "runs" / "leaves").iterdir()
    assert "batches of 36, because there are only 36 training images" in (folder / "train.log").read_text()
    assert json.loads((folder / "result.json").read_text())["metrics"]["val_top5_error"] == 0  # of three classes


def test_an_image_folder_without_images_is_one_line(program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = program("train.py", "data=folder", f"data.root={tmp_path / 'empty'}")

    assert answer.returncode == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "train" in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_a_run_that_diverges_says_so_in_one_line(program, small, tmp_path: Path) -> None:
    answer = program("train.py", *small, "optim.learning_rate=90", "optim.momentum=0.999", "sweep=wild")

    assert answer.returncode == 2
    assert "training diverged; try a smaller optim.learning_rate" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list((tmp_path / "runs" / "wild").glob("*/result.json"))
