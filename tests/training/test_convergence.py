"""The recipe of mini, on a small budget: a run has converged where it ends, and one of four epochs has not.

Six easy classes of 64 images, so that 40 epochs are 480 steps. benchmarks/convergence.py says of the run's folder what
docs/converged.md says of twenty seeds on the whole collection.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import SOURCE

EASY = (
    "data.num_classes=6",
    "data.train_images_per_class=64",
    "data.val_images_per_class=50",
    "data.class_colour=1",
    "data.shape_variation=0.03",
    "data.occluded_fraction=0",
    "data.darker_fraction=0",
    "logger=none",
)
# Validated ten times, so that there is one at nine tenths.
VALIDATED_TEN_TIMES = ("optim.validations=10",)
# The recipe before: divided by 10 twice, within what were four epochs then. Each is validated.
FOUR_EPOCHS = (
    "optim.learning_rate=0.008",
    "optim.batch_size=32",
    "optim.epochs=4",
    "optim.validations=null",
    "optim.schedule=milestones",
    "optim.milestones=[0.7,0.92]",
    "optim.warmup=0",
)


def of_a_run(program, store_root: Path, folder: Path, *recipe: str) -> dict[str, Any]:
    """Train, and what is then said of the run."""
    answer = program("train.py", *EASY, *recipe, f"data.store_root={store_root}", "hydra.run.dir=run")
    assert answer.returncode == 0, answer.stderr
    script = SOURCE.parent / "benchmarks" / "convergence.py"
    command = [sys.executable, str(script), "run", "--json"]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


def test_a_run_of_mini_has_converged_where_it_ends(program, store_root: Path, tmp_path: Path) -> None:
    found = of_a_run(program, store_root, tmp_path, *VALIDATED_TEN_TIMES)
    assert found["left_guessing"] == 4, found  # of 40 epochs: the loss of the first tenth has left ln(6)
    assert found["last_tenth"] == [36, 40]
    assert found["large_changes"] == 0, found  # of the error, by 0.5 points or less
    assert found["mean"][-1] < 5, found


def test_a_run_of_four_epochs_has_not(program, store_root: Path, tmp_path: Path) -> None:
    """The same question has another answer where a run ends too early: it is no matter of course."""
    found = of_a_run(program, store_root, tmp_path, *FOUR_EPOCHS)
    assert found["large_changes"] == 1, found
    assert found["mean"][-1] > 10, found  # which mini's recipe is far below
