"""Each recipe trains its network on images of 256 pixels at its own rates, and does not sit at ln(classes).

With a quarter of the kernels and units, on few images. A layer's gain is std x sqrt(fan_in): where a start names
deviations, they are doubled from conv2 on, so that signals are those of full width. docs/recipes.md has full width.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from config.test_config import composed

CLASSES = 10
EPOCHS = {"alexnet": 8, "alexnet_paper": 8, "alexnet_caffe": 6, "alexnet_torchvision": 10, "alexnet_keras": 6}
FEW_IMAGES = (
    "data.image_size=256",
    f"data.num_classes={CLASSES}",
    "data.train_images_per_class=64",
    "data.val_images_per_class=16",
    "data.occluded_fraction=0",
    "optim.batch_size=32",
    "optim.schedule=constant",
    "optim.conv1_milestones=[]",
    "optim.freeze_conv1_at=1",
    "logger=none",
)


@pytest.mark.parametrize(("model", "epochs"), EPOCHS.items())
def test_a_recipe_leaves_the_loss_of_guessing(
    model: str, epochs: int, program, store_root: Path, tmp_path: Path
) -> None:
    std = composed(f"model={model}").model.init_std
    quarter = ("model.width=0.25", f"model.init_std={[std[0], *(2 * value for value in std[1:])]}".replace(" ", ""))
    budget = (*FEW_IMAGES, f"trainer.max_epochs={epochs}", f"data.store_root={store_root}")
    answer = program("train.py", f"model={model}", *quarter, *budget, "hydra.run.dir=run")
    assert answer.returncode == 0, answer.stderr
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]
    assert len(losses) == epochs
    assert losses[-1] < 0.9 * math.log(CLASSES), losses
