"""Whether each preset leaves ln(classes) with its own recipe, at full width on images of 256 pixels, on a CPU.

    python benchmarks/recipes.py [--only original caffe] [--epochs 8] [--folder FOLDER]

Runs `src/train.py` for each: 10 classes of fractals, 64 training images of each, batches of 32, the recipe's first
stage (before the learning rate is divided). Network, start, learning rates, momentum, decay, dropout and augmentation
are the preset's; docs/recipes.md has the curves.

A preset has learned something when the last epoch's validation loss is below 0.8 ln(classes). The training loss does
not tell: it has dropout's noise in it.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLASSES, IMAGES = 10, 64
COMMON = (
    "data=fractals",
    "data.image_size=256",
    f"data.num_classes={CLASSES}",
    f"data.train_images_per_class={IMAGES}",
    "data.val_images_per_class=8",
    "optim.batch_size=32",
    "optim.schedule=constant",
    "optim.conv1_milestones=[]",
    "optim.freeze_conv1_at=1",
    "logger=none",
)
RECIPES = {
    "original": ("model=alexnet", "optim=original"),
    "paper": ("model=alexnet_paper", "optim=paper"),
    "caffe": ("model=alexnet_caffe", "optim=caffe"),
    "torchvision": ("model=alexnet_torchvision", "optim=torchvision"),
    "keras": ("model=alexnet_keras", "optim=torchvision"),
    # The original's network with others' recipes; before its rate is divided, the paper's is the original's own.
    "alexnet-caffe": ("model=alexnet", "optim=caffe"),
    "alexnet-torchvision": ("model=alexnet", "optim=torchvision"),
}


def train(name: str, epochs: int, folder: Path) -> dict[str, Any]:
    """Run one recipe and read what it recorded of its epochs."""
    program = Path(__file__).resolve().parents[1] / "src" / "train.py"
    overrides = [*RECIPES[name], *COMMON, f"trainer.max_epochs={epochs}"]
    places = [f"data.store_root={folder / 'datasets'}", f"hydra.run.dir={folder / name}"]
    print("python src/train.py", *overrides, flush=True)
    subprocess.run([sys.executable, str(program), *overrides, *places], check=True, stdout=subprocess.DEVNULL)
    with (folder / name / "metrics.csv").open() as file:
        ends = [row for row in csv.DictReader(file) if row["val_loss"]]
    result: dict[str, Any] = {"steps": int(ends[-1]["step"])}
    for column in ("train_epoch_loss", "val_loss", "val_top1_error"):
        result[column] = [round(float(row[column]), 3) for row in ends]
    result["learned"] = result["val_loss"][-1] < 0.8 * math.log(CLASSES)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; without it they are deleted")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        results = {name: train(name, arguments.epochs, folder) for name in arguments.only}
    for name, result in results.items():
        for column in ("train_epoch_loss", "val_loss"):
            losses = " ".join(f"{loss:.2f}" for loss in result[column])
            print(f"  {name:20}{result['steps']:5} steps, {column} {losses}")
    print(json.dumps({"ln_classes": round(math.log(CLASSES), 3), "recipes": results}))


if __name__ == "__main__":
    main()
