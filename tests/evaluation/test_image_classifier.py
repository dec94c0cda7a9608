"""alexnet_lab.load: a file of weights answers for images, gives features by layer name, and is exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.feature_extraction import create_feature_extractor

import alexnet_lab
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.trained_network import TrainedNetwork
from conftest import SOURCE

NAMES = ["ant", "bee", "cat"]
# Every layer that torch.fx cannot follow by itself: both normalizations, and towers that meet at fc8 alone.
LAYERS = ("model.towers=2", "model.communicating=false")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save(tmp_path / "w.safetensors", torch.full((44, 44, 3), 100.0))


def save(path: Path, mean: torch.Tensor | None) -> Path:
    torch.manual_seed(0)
    options = alexnet_lab.compose("model=mini", *LAYERS).model
    network = alexnet_lab.build_network(options, len(NAMES))
    safetensors_file.save(TrainedNetwork(network.eval(), options, len(NAMES), mean, NAMES), path)
    return path


def image(tmp_path: Path, name: str = "image.png") -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


def test_a_path_and_an_open_image_have_the_same_answer(weights: Path, tmp_path: Path) -> None:
    model = alexnet_lab.load(weights)
    assert (model.class_names, model.image_size, model.input_size, model.training) == (NAMES, 44, 33, False)
    file = image(tmp_path)
    [by_path], [by_name] = model.predict(file), model.predict([str(file)])
    with Image.open(file) as opened:
        [by_image] = model.predict(opened)
    assert by_path == by_name == by_image
    assert sorted(prediction.name for prediction in by_path) == NAMES
    assert sum(prediction.probability for prediction in by_path) == pytest.approx(1.0)

    logits = model(model.transforms(file))
    assert NAMES[int(logits.argmax())] == by_path[0].name
    assert len(model.predict([file] * 3, top=1)) == 3


def test_features_of_any_layer_and_what_exports_the_network(weights: Path, tmp_path: Path) -> None:
    model = alexnet_lab.load(weights)
    x = model.transforms(image(tmp_path))
    with torch.no_grad():
        features = create_feature_extractor(model, {"network.conv5": "maps", "network.fc7": "units"})(x)
        torch.testing.assert_close(features["units"], model.forward_features(x))
        assert features["maps"].dim() == 4
        assert not model.training
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))
    with pytest.raises(alexnet_lab.UserError, match=r"use torch\.export\.export"):
        torch.jit.script(model)


def test_a_mean_for_each_channel_is_of_images_as_the_papers_are_to_their_crops(tmp_path: Path) -> None:
    model = alexnet_lab.load(save(tmp_path / "w.safetensors", torch.tensor([120.0, 110.0, 100.0])))
    assert model.image_size == 38  # 33 * 256 / 224
    seen = model.transforms(Image.new("RGB", (60, 50), (120, 111, 102)))
    assert seen.shape == (1, 3, 33, 33)
    assert [float(seen[0, channel].mean()) for channel in range(3)] == [0.0, 1.0, 2.0]


def test_what_cannot_be_answered_is_said_in_one_line(weights: Path, tmp_path: Path) -> None:
    model = alexnet_lab.load(weights)
    (tmp_path / "text.png").write_text("no image")
    without = alexnet_lab.load(save(tmp_path / "without.safetensors", None))
    (tmp_path / "stray.ckpt").write_text("")
    for fails, said in (
        (lambda: model.predict(tmp_path / "text.png"), r"text\.png: is no image"),
        (lambda: model.predict(tmp_path / "none.png"), r"none\.png: "),
        (lambda: model.predict([]), "no image is given"),
        (lambda: model.predict(image(tmp_path), top=0), "top=0: must be 1"),
        (lambda: without.predict(image(tmp_path)), "does not say which mean"),
        (lambda: alexnet_lab.load(tmp_path), "is not a run folder"),
        (lambda: alexnet_lab.load(tmp_path / "none"), "none: no such file"),
        (lambda: alexnet_lab.load(tmp_path / "stray.ckpt"), r"must be RUN/checkpoints/best\.ckpt"),
    ):
        with pytest.raises(alexnet_lab.UserError, match=said) as refused:
            fails()
        assert "\n" not in str(refused.value)


def test_importing_the_package_loads_nothing_until_it_is_asked_for() -> None:
    code = (
        "import sys, alexnet_lab; assert not {'torch', 'hydra', 'lightning'} & set(sys.modules); alexnet_lab.UserError"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)})
    assert all(getattr(alexnet_lab, name) is not None for name in alexnet_lab.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = alexnet_lab.lod
