"""docs/api.md as it stands: its Python is run beside a small run, whose errors Lightning's own Trainer finds again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet_lab
from alexnet_lab.runs import checkpoint_file
from pages import BLOCK, ROOT
from training.continued_runs import own_signals, tiny, train_until_done  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the names of the page's Python mean after it has run."""
    folder = tmp_path_factory.mktemp("page")
    train_until_done(tiny(store_root, "optim.epochs=1"), folder / "runs/single/NAME")
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "cat.jpg")
    blocks = [code for kind, code in BLOCK.findall((ROOT / "docs/api.md").read_text()) if kind == "python"]
    assert len(blocks) == 4
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks:
            exec(block, names)
    return names


def test_lightnings_trainer_finds_the_errors_that_the_run_reported(page: dict[str, Any]) -> None:
    reported = json.loads((page["folder"] / "runs/single/NAME/result.json").read_text())["metrics"]
    assert page["errors"] == {key: pytest.approx(reported[key], abs=1e-6) for key in page["errors"]}
    assert page["errors"].keys() == {"val_loss", "val_top1_error", "val_top5_error"}
    assert page["same"] == {key.replace("val_", "test_"): value for key, value in page["errors"].items()}
    answers = torch.cat(page["probabilities"])
    assert answers.shape == (420, 7)
    torch.testing.assert_close(answers.sum(1), torch.ones(420))


def test_the_range_test_gives_a_rate_and_leaves_the_weights(page: dict[str, Any]) -> None:
    assert len(page["finder"].results["loss"]) > 5
    fresh = alexnet_lab.Classifier.load_from_checkpoint(page["folder"] / "runs/single/NAME/checkpoints/last.ckpt")
    for name, tensor in fresh.network.state_dict().items():
        assert torch.equal(tensor, page["module"].network.state_dict()[name])
    assert fresh.learning_rate == page["module"].run.optim.learning_rate
    assert all(part.training for part in fresh.network.modules())


def test_features_by_name_and_what_ends_in_a_line(page: dict[str, Any], tmp_path: Path) -> None:
    model = page["model"]
    seen = model.transforms(page["folder"] / "cat.jpg")
    torch.testing.assert_close(page["units"], model.features(seen, "network.fc7"))
    assert model.features(seen, "conv5").dim() == 4
    with pytest.raises(alexnet_lab.UserError, match="did you mean fc7"):
        page["model"].features(torch.zeros(1, 3, 33, 33), "fc77")
    for scripted in (page["module"], page["module"].network):
        with pytest.raises(alexnet_lab.UserError, match=r"use torch\.export\.export"):
            torch.jit.script(scripted)
    with pytest.raises(alexnet_lab.UserError, match="was not loaded from a checkpoint"):
        alexnet_lab.Classifier(page["network"], None, page["run"].optim, 33, 0, page["module"].ranks).data()
    with pytest.raises(alexnet_lab.UserError, match="no such folder"):
        alexnet_lab.compose(config_dir=tmp_path / "nothing")


def test_a_folder_of_ones_own_is_composed_from(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "narrow.yaml").write_text("_target_: narrow.Narrow\ninput_size: 28\nstored_size: 32\n")
    run = alexnet_lab.compose("model=narrow", config_dir=tmp_path)
    assert run.model.name == "narrow"
    assert run.import_from == [str(tmp_path)]


def test_a_strangers_checkpoint_makes_nothing_of_its_own(page: dict[str, Any], tmp_path: Path) -> None:
    file = page["folder"] / "runs/single/NAME/checkpoints/last.ckpt"
    content = checkpoint_file.read(file)
    for key, part in {
        "augmentation": {"mine": {"_target_": "os.system", "command": "touch made"}},
        "loss": {"_target_": "os.system", "command": "touch made"},
    }.items():
        made = {**content, "configuration": {**content["configuration"], key: part}}
        whole = checkpoint_file.to_bytes(made)
        (tmp_path / "stranger.ckpt").write_bytes(bytes(whole) + checkpoint_file.seal(whole))
        with pytest.raises(alexnet_lab.UserError, match="not built in"):
            alexnet_lab.Classifier.load_from_checkpoint(tmp_path / "stranger.ckpt")
