"""What is exported says the same wherever it is read."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import safetensors
import torch
import torchvision
from omegaconf import OmegaConf
from random_networks import logits, pixels, trained
from torch.testing import assert_close

from alexnet_lab.core.errors import UserError
from alexnet_lab.evaluation.views import probabilities, views_of
from alexnet_lab.weights import safetensors_file, whole_file
from alexnet_lab.weights.exporting import FORMATS, plain_state_dict
from alexnet_lab.weights.run_folder import load_run
from conftest import SOURCE, one_thread

pytestmark = pytest.mark.slow

RUN_OF_VERSION_1 = SOURCE.parent / "tests" / "runs" / "run_of_version_1"
DOCUMENT = SOURCE.parent / "docs" / "weights.md"
ALEXNETS = {
    "mini": {},
    "alexnet": {"width": 0.125},
    "alexnet_caffe": {"width": 0.125},
    "alexnet_torchvision": {"width": 0.125},
    "alexnet that never communicates": {"width": 0.125, "communicating": False},
}

# The document's table of what changes in its script.
CONV1 = "lrn(conv2d(nn.ZeroPad2d((0, 3, 0, 3))(x), *w[0:2], stride=4)), 3, 2).relu()"
PAPERS = {"x / (1 + 1e-3 * nn.AvgPool2d(5, 1, 2)(x * x)) ** 0.75, 3, 2": "x, 3, 2"}  # nothing within maps
SCALED_IN_TRAINING = {".relu() / 2 @": ".relu() @"}
SCRIPT_CHANGES = {
    "alexnet": {},
    "alexnet_caffe": PAPERS
    | SCALED_IN_TRAINING
    | {CONV1: "lrn(conv2d(x, *w[0:2], stride=4).relu()), 3, 2)", "x.chunk(2, 1)": "x.chunk(1, 1)", "2.0)": "1.0)"},
    "alexnet_torchvision": PAPERS
    | SCALED_IN_TRAINING
    | {CONV1: "conv2d(x * 0.01735, *w[0:2], stride=4, padding=2).relu(), 3, 2)"}
    | {"groups=2": "groups=1", "= lrn(": "= ("},
    "mini": PAPERS
    | SCALED_IN_TRAINING
    | {"3, 0, 3))(x), *w[0:2], stride=4": "1, 0, 1))(x / 64), *w[0:2], stride=2", "1e-4": "0.0064"},
}


def test_a_run_comes_out_as_it_was_validated(program, small, tmp_path: Path) -> None:
    stores = tmp_path / "datasets"  # its own, in which there is one store
    assert program("train.py", *small, f"data.store_root={stores}", "sweep=mine").returncode == 0
    [folder] = (tmp_path / "runs" / "mine").iterdir()
    answer = program("export.py", f"run={folder}", "format=safetensors", "out=best.safetensors")
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stderr
    assert "mini, 7 classes" in answer.stdout

    run = OmegaConf.load(folder / "config.yaml")
    exported = safetensors_file.load(tmp_path / "best.safetensors")
    assert dataclasses.asdict(exported.model) == OmegaConf.to_container(run.model)
    [store] = [path.parent for path in stores.glob("*/manifest.json")]
    assert exported.class_names == json.loads((store / "manifest.json").read_text())["class_names"]

    # Centre crops, the mean image subtracted: the errors that the run itself wrote down.
    images, labels = (np.load(store / f"val_{what}.npy") for what in ("images", "labels"))
    assert exported.pixel_mean is not None
    centred = (torch.tensor(images).float() - exported.pixel_mean)[:, 5:38, 5:38].permute(0, 3, 1, 2)
    wrong = (logits(exported.network, centred).argmax(1) != torch.tensor(labels)).double().mean()
    result = json.loads((folder / "result.json").read_text())
    assert float(wrong) == pytest.approx(result["metrics"]["best_val_top1_error"], abs=1e-6)

    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, tensor in load_run(folder, "last").network.state_dict().items():
        assert torch.equal(tensor, state[f"network.{name}"])

    # Without the images it is the same: what a run has to know of them it keeps.
    shutil.rmtree(stores)
    alone = load_run(folder)
    assert alone.class_names == exported.class_names
    assert torch.equal(alone.pixel_mean, exported.pixel_mean)


def test_a_run_of_a_version_that_kept_no_mean_and_no_names_is_exported_without(caplog) -> None:
    trained = load_run(RUN_OF_VERSION_1, "last")
    assert (trained.pixel_mean, trained.class_names, trained.num_classes) == (None, None, 6)
    assert "a version wrote it that kept no mean and no class names; they are left out" in caplog.text


@pytest.mark.parametrize("name", ALEXNETS)
def test_onnxruntime_says_the_same(name: str, tmp_path: Path) -> None:
    network = trained(name.split()[0], **ALEXNETS[name])
    network = dataclasses.replace(network, pixel_mean=torch.tensor([120.0, 115.0, 100.0]))
    FORMATS["onnx"](network, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    for number in (1, 3):
        x = pixels(network.model.input_size, number)
        expected = logits(network.network, x - network.pixel_mean[:, None, None])
        assert expected.std() > 0.1
        [found] = session.run(["logits"], {"images": x.numpy()})
        assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    side = network.model.input_size
    assert metadata["images"] == f"RGB on 0..255, the centre {side} x {side} of an image"
    assert json.loads(metadata["alexnet_lab"])["model"] == dataclasses.asdict(network.model)


def test_an_onnx_file_subtracts_the_mean_image_as_an_evaluation_does(tmp_path: Path) -> None:
    """A mean that differs from place to place: its channels' means would not do."""
    mini = trained("mini")
    mean = 255 * torch.rand(44, 44, 3, generator=torch.Generator().manual_seed(0))
    FORMATS["onnx"](dataclasses.replace(mini, pixel_mean=mean), tmp_path / "mini.onnx")
    images = pixels(44).permute(0, 2, 3, 1).round().to(torch.uint8)
    [centre] = views_of("centre", 44, 33)
    expected = probabilities(mini.network, images, mean, 33, [centre])
    session = onnxruntime.InferenceSession(tmp_path / "mini.onnx", providers=["CPUExecutionProvider"])
    crops = images[:, 5:38, 5:38].permute(0, 3, 1, 2).float()
    [found] = session.run(["logits"], {"images": crops.numpy()})
    assert_close(torch.from_numpy(found).double().softmax(1), expected.detach(), rtol=0, atol=1e-5)

    FORMATS["onnx"](mini, tmp_path / "unknown.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "unknown.onnx", providers=["CPUExecutionProvider"])
    assert "minus the mean of the training images" in session.get_modelmeta().custom_metadata_map["images"]


def test_ten_documented_lines_read_the_state_dict_without_this_project(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if line.strip()]
    assert len(lines) <= 10
    assert not any(";" in line or len(line) > 120 for line in lines)
    expected = {}
    for name, changes in SCRIPT_CHANGES.items():
        network = trained(name, width=0.125)
        folder = tmp_path / name
        folder.mkdir()
        FORMATS["state_dict"](network, folder / "alexnet.pt")
        x = pixels(network.model.input_size) - 110
        torch.save(x, folder / "x.pt")
        expected[name] = logits(network.network, x)
        script = found[1]
        for old, new in changes.items():
            assert old in script
            script = script.replace(old, new)
        (folder / "script.py").write_text(script + "\nimport torch; torch.save(alexnet(load('x.pt')), 'logits.pt')\n")
    run_all = "import os, runpy, sys\nsys.modules['alexnet_lab'] = None  # so that to import it fails\n"
    run_all += "for name in sys.argv[1:]: os.chdir(name); runpy.run_path('script.py'); os.chdir('..')\n"
    # -I: nothing of this project's tests is on the path, whatever PYTHONPATH says.
    subprocess.run([sys.executable, "-I", "-c", run_all, *expected], cwd=tmp_path, check=True, env=one_thread())
    for name, logits_here in expected.items():
        assert logits_here.std() > 0.1
        assert_close(torch.load(tmp_path / name / "logits.pt"), logits_here, rtol=1e-5, atol=1e-5)


def test_torchvision_takes_the_state_dict_of_its_network() -> None:
    network = trained("resnet18", 7)
    theirs = torchvision.models.resnet18(num_classes=7).eval()
    theirs.load_state_dict(plain_state_dict(network))
    x = pixels(64) - 110
    assert_close(logits(theirs, x * network.model.pixel_scale), logits(network.network, x))


def test_onnx_says_which_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match="onnxscript is not installed; pip install onnx onnxscript"):
        FORMATS["onnx"](trained("mini"), tmp_path / "network.onnx")


@pytest.mark.parametrize("name", ["mini", "lenet5", "resnet18"])
def test_safetensors_keep_everything_and_are_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    network = dataclasses.replace(
        trained(name), class_names=list("abcdefg"), pixel_mean=torch.rand(64, 64, 3, generator=torch.Generator())
    )
    for file in ("one", "two"):
        safetensors_file.save(network, tmp_path / file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = safetensors_file.load(tmp_path / "one")
    assert not again.network.training
    assert (again.model, again.num_classes, again.class_names) == (network.model, 7, list("abcdefg"))
    assert torch.equal(again.pixel_mean, network.pixel_mean)
    for key, tensor in network.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], tensor)
    assert not any(tensor.is_meta for tensor in (*again.network.parameters(), *again.network.buffers()))
    x = pixels(network.model.input_size) - 110
    assert torch.equal(logits(again.network, x), logits(network.network, x))
    with safetensors.safe_open(tmp_path / "one", "pt") as file:
        assert json.loads(file.metadata()["alexnet_lab"])["model"]["name"] == name


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    whole_file.write_bytes(file, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file.os, "fsync", full)
    with pytest.raises(UserError, match="weights: could not be written \\(No space left on device\\)"):
        whole_file.write_bytes(file, b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("weights", b"old")]
