"""Run folders of runs that nobody has made, with what was measured of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alexnet_lab.runs.measured import Answers, write_answers
from alexnet_lab.runs.metrics import COLUMNS
from alexnet_lab.runs.paths import job_name
from reports.made_results import result

IMAGES, CLASSES = 400, 10
LABELS = (np.arange(IMAGES) % CLASSES).astype(np.int32)


def answers(wrong: float, seed: int, images: str = "a" * 64) -> Answers:
    """A share of the images has its true class in the second place, the others in the first."""
    order = (LABELS[:, None] + np.arange(5)) % CLASSES
    missed = np.random.default_rng(seed).permutation(IMAGES)[: round(wrong * IMAGES)]
    order[missed, :2] = order[missed, 1::-1]
    return Answers(order.astype(np.int32), np.full(IMAGES, 0.5, np.float32), LABELS, images)


def make_run(
    sweep: Path, variant: str, seed: int, wrong: float = 0.2, curve: Sequence[float] = (), **measured: float
) -> Path:
    """A finished run that errs on this share of the validation images.

    curve: its training error after each epoch. measured: other shares, by what was measured (train_centre=0.1).
    """
    folder = sweep / job_name(variant, [f"seed={seed}"])
    folder.mkdir(parents=True)
    images = {"identity": "a" * 64, "classes": CLASSES, "train": 100, "val": IMAGES}
    made = result(wrong, seed) | {"epochs": len(curve) or 4, "images": images, "train_images_per_second": 100.0}
    made["metrics"] = {"val_top1_error": wrong, "val_top5_error": 0.0}
    (folder / "result.json").write_text(json.dumps(made))
    lines = [",".join(COLUMNS)]
    for epoch, error in enumerate(curve):
        values = {"epoch": epoch, "step": 10 * (epoch + 1), "train_top1_error": error, "val_top1_error": error}
        lines.append(",".join(str(values.get(column, "")) for column in COLUMNS))
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    for what, share in {"val_centre": wrong, **measured}.items():
        write_answers(folder, what.replace("_", "-"), answers(share, seed))
    return folder


def make_runs(sweep: Path, errors: Mapping[str, Sequence[float]]) -> None:
    """A run for each error of each variant, seeds from 0."""
    for variant, own in errors.items():
        for seed, error in enumerate(own):
            make_run(sweep, variant, seed, error)
