"""A run's errors are those of its weights in float32, in whatever precision it trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from alexnet_lab.evaluation.views import take, views_of
from alexnet_lab.weights.run_folder import load_run
from leaf_images import leaf_run, make_leaves, prepared, trained

pytestmark = pytest.mark.slow


def test_a_run_in_bfloat16_is_validated_in_float32(tmp_path: Path) -> None:
    make_leaves(tmp_path / "leaves")
    run = leaf_run(tmp_path, "trainer.precision=bf16-mixed")
    folder, store = trained(run, tmp_path / "run"), prepared(run)
    [centre] = views_of("centre", store.image_size, run.model.input_size)
    views = take(torch.tensor(store.images("val")), torch.from_numpy(store.pixel_mean), run.model.input_size, centre)
    with torch.no_grad():
        logits = load_run(folder, "last").network(views)
    reported = json.loads((folder / "result.json").read_text())["metrics"]
    expected = float(F.cross_entropy(logits, torch.from_numpy(store.labels("val"))))
    assert reported["val_loss"] == pytest.approx(expected, rel=1e-5)
