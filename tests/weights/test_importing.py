"""What other programs' networks say, ours say with their weights."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import caffe_writer
import cv2
import numpy as np
import pytest
import torch
import torchvision
from random_networks import logits, pixels, scatter, trained
from torch.testing import assert_close

from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.build import build_network
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.caffe import read_caffemodel
from alexnet_lab.weights.importing import import_weights


@pytest.fixture
def large_files() -> Iterator[Path]:
    """A place for files of 250 MB, which is empty again after each test."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def caffe_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return caffe_writer.weights()


@pytest.mark.parametrize("new_zip_format", [True, False], ids=["zip", "before PyTorch 1.6"])
def test_torchvisions_alexnet(new_zip_format: bool, large_files: Path) -> None:
    theirs = scatter(torchvision.models.alexnet(num_classes=1000 if new_zip_format else 12))
    file = large_files / "alexnet.pth"
    torch.save(theirs.state_dict(), file, _use_new_zipfile_serialization=new_zip_format)
    ours = import_weights(file)

    x = pixels(224)
    normalized = torchvision.transforms.functional.normalize(x / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    expected = logits(theirs, normalized)
    assert expected.std() > 0.3
    assert ours.num_classes == expected.shape[1]
    assert ours.pixel_mean is not None
    found = logits(ours.network, x - ours.pixel_mean[:, None, None])
    assert_close(found, expected, rtol=0, atol=1e-5)

    if new_zip_format:
        safetensors_file.save(ours, large_files / "ours.safetensors")
        again = import_weights(large_files / "ours.safetensors")
        assert_close(logits(again.network, x - again.pixel_mean[:, None, None]), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [
        *(("module.", None), ("_orig_mod.", None), ("module._orig_mod.", "state_dict")),
        *(("", "state_dict"), ("", "model_state_dict"), ("", "model")),
    ],
)
def test_torchvisions_alexnet_as_training_scripts_save_it(prefix: str, wrapper: str | None, large_files: Path) -> None:
    state = torchvision.models.alexnet(num_classes=7).state_dict()
    content = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, large_files / "checkpoint.pth")
    ours = import_weights(large_files / "checkpoint.pth")
    assert ours.num_classes == 7
    assert torch.equal(list(ours.network.state_dict().values())[-1], state["classifier.6.bias"])


def test_a_tensor_with_and_without_a_prefix_is_refused(tmp_path: Path) -> None:
    tensors = {name: torch.zeros(1) for name in ("features.0.weight", "module.features.0.weight")}
    torch.save(tensors, tmp_path / "twice.pth")
    with pytest.raises(UserError, match="holds the same tensor with and without a prefix of module"):
        import_weights(tmp_path / "twice.pth")


@pytest.mark.parametrize("name", ["bvlc_alexnet", "CaffeNet in the format of 2014"])
def test_caffes_networks(name: str, large_files: Path, caffe_weights) -> None:
    caffenet = name != "bvlc_alexnet"
    net = caffe_writer.layers(pool_first=caffenet)
    file = large_files / "alexnet.caffemodel"
    file.write_bytes(caffe_writer.caffemodel(net, caffe_weights, old=caffenet))
    (large_files / "deploy.prototxt").write_text(caffe_writer.prototxt(net, batch=3))
    theirs = cv2.dnn.readNetFromCaffe(str(large_files / "deploy.prototxt"), str(file))

    ours = import_weights(file)
    assert ours.pixel_mean is not None
    assert ours.model.layer_order == ("caffenet" if caffenet else "paper")
    x = pixels(227) - ours.pixel_mean[:, None, None]
    theirs.setInput(x.flip(1).numpy())  # blue, green, red
    expected = torch.from_numpy(theirs.forward("fc8"))
    assert expected.std() > 0.3
    assert_close(logits(ours.network, x), expected, rtol=0, atol=1e-4)

    # What the comparison would not notice otherwise: that normalization has next to no effect.
    other = build_network(dataclasses.replace(ours.model, lrn=False), 1000).eval()
    other.load_state_dict(ours.network.state_dict())
    assert (logits(other, x) - expected).abs().max() > 0.1


def test_the_file_says_how_it_normalizes(tmp_path: Path) -> None:
    net = caffe_writer.layers()
    for _, kind, settings in net:
        if kind == "LRN":
            settings.update(local_size=3, alpha=0.0002, k=2.0)
    file = tmp_path / "alexnet.caffemodel"
    file.write_bytes(caffe_writer.caffemodel(net, caffe_writer.tiny_weights()))
    expected = {"layer_order": "paper", "lrn_size": 3, "lrn_alpha": 0.0002, "lrn_beta": 0.75, "lrn_k": 2.0}
    assert read_caffemodel(file).options == expected


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_single(half: torch.dtype, tmp_path: Path) -> None:
    network = trained("mini")
    safetensors_file.save(dataclasses.replace(network, network=network.network.to(half)), tmp_path / "half.safetensors")
    again = safetensors_file.load(tmp_path / "half.safetensors").network
    assert {tensor.dtype for tensor in again.parameters()} == {torch.float32}


def test_import_does_not_touch_the_random_state(tmp_path: Path) -> None:
    safetensors_file.save(trained("mini"), tmp_path / "mini.safetensors")
    before = torch.get_rng_state()
    safetensors_file.load(tmp_path / "mini.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_program(program, tmp_path: Path) -> None:
    safetensors_file.save(trained("mini"), tmp_path / "mini.safetensors")
    answer = program("import_weights.py", "file=mini.safetensors", "out=again.safetensors")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "mini, 7 classes" in answer.stdout
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "mini.safetensors").read_bytes()
