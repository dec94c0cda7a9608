"""Files that are damaged or hold another network are refused in one line that says what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import caffe_writer
import pytest
import safetensors.torch
import torch
import torchvision
from random_networks import trained
from refusals import changed, refusal

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.run_folder import load_run


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.safetensors"
    safetensors_file.save(trained("mini", width=0.0625), file)
    return file


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing") == "no such file"
    assert refusal(tmp_path).startswith("is not a file")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").startswith("is not a file")
    for content, words in (
        (b"", "is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
        (b"Not found, said the server", "not a file of weights"),
        (b"\0" * 100, "not a file of weights"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"\x80\x02" + bytes(100), "damaged"),
        (b"<html>", "not a file of weights"),
    ):
        file = tmp_path / "file"
        file.write_bytes(content)
        assert words in refusal(file)


def test_tensors_that_do_not_fit(good: Path) -> None:
    bias = "conv2.conv.bias"
    bad = changed(good, lambda tensors: tensors.update({bias: torch.zeros(5)}))
    assert refusal(bad) == "conv2.conv.bias is 5, and in mini 16"
    weight = "fc6.linear.weight"
    bad = changed(good, lambda tensors: tensors.update({weight: tensors[weight].T.contiguous()}))
    assert refusal(bad) == "fc6.linear.weight is 16 x 256, and in mini 256 x 16"
    bad = changed(good, lambda tensors: tensors.pop(bias))
    assert refusal(bad) == "has no tensor conv2.conv.bias; it does not hold the network mini"
    bad = changed(good, lambda tensors: tensors.update(extra=torch.zeros(5)))
    assert refusal(bad) == "has a tensor extra, which the network mini has not"
    bad = changed(good, lambda tensors: tensors.update({bias: torch.zeros(16, dtype=torch.int32)}))
    assert refusal(bad) == "conv2.conv.bias is not a plain tensor of floating-point numbers"
    for number in ("nan", "inf"):
        bad = changed(good, lambda tensors, number=number: tensors[weight].view(-1)[77:78].fill_(float(number)))
        assert refusal(bad).startswith("fc6.linear.weight holds NaN or infinite numbers")
    bad = changed(good, lambda tensors: tensors.update(pixel_mean=torch.zeros(4, 5, 3)))
    assert refusal(bad) == "pixel_mean is 4 x 5 x 3, not 3 or S x S x 3"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": "many"}, "num_classes='many'"),
        ({"num_classes": 8}, "fc8.weight is 7 x 256, and in mini 8 x 256"),
        ({"class_names": ["one"]}, "class names are not 7 words"),
        ({"format": 2}, "of another version"),
        ({"model": None}, "says nothing about the network"),
        ({"model": {"name": "${oc.env:HOME}"}}, "refers to something outside"),
        ({"model": {"widht": 1}}, "is not one of this version"),
        ({"model": {"width": "wide"}}, "is not one of this version"),
        ({"model": {"width": -1.0}}, "model.width=-1.0: must be"),
        ({"model": {"width": float("nan")}}, "model.width=nan: must be"),
        ({"model": {"towers": 3}}, "model.towers=3: must be one of"),
        ({"model": {"architecture": "os.system"}}, "model.architecture=os.system: must be one of"),
    ],
    ids=str,
)
def test_configurations_that_cannot_be(change: dict[str, Any], words: str, good: Path) -> None:
    text = refusal(changed(good, description=lambda description: description.update(change)))
    assert words in text
    assert str(Path.home()) not in text.replace(str(good.parent), "")


def test_another_programs_safetensors(good: Path) -> None:
    safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, good, {"format": "pt"})
    assert "was not written by this program" in refusal(good)


def test_state_dicts_of_other_networks(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    assert "it does not hold torchvision's AlexNet" in refusal(file)
    torch.save([1, 2], file)
    assert "does not hold a state dict" in refusal(file)
    torch.save({"pytorch-lightning_version": "2.6", "state_dict": {}}, file)
    assert "export it with python src/export.py run=DIR" in refusal(file)

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in torchvision.models.alexnet().state_dict().items()}
    small = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    torch.save(small | {"features.3.weight": torch.zeros(192, 32, 5, 5)}, file)
    assert refusal(file) == ("features.3.weight is 192 x 32 x 5 x 5, and in alexnet_torchvision 192 x 64 x 5 x 5")
    torch.save(small | {"classifier.7.weight": torch.zeros(2)}, file)
    assert refusal(file) == "has a tensor classifier.7.weight, which torchvision's AlexNet has not"
    torch.save(small | {"classifier.6.bias": torch.full((1000,), float("nan"))}, file)
    assert refusal(file).startswith("classifier.6.bias holds NaN")
    content = file.read_bytes()
    for length in (10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        assert "damaged" in refusal(file)


def test_caffemodels_of_other_networks(tmp_path: Path) -> None:
    file = tmp_path / "net.caffemodel"
    tiny = caffe_writer.tiny_weights()

    def written(net: list[tuple[str, str, caffe_writer.Settings]], tensors: dict[str, Any] = tiny) -> str:
        file.write_bytes(caffe_writer.caffemodel(net, tensors))
        return refusal(file)

    net = caffe_writer.layers()
    assert "conv1.weight is 1 x 3 x 1 x 1, and in alexnet_caffe 96 x 3 x 11 x 11" in written(net)
    assert "layer 'pool1' is of type Pooling where LRN belongs" in written([item for item in net if item[0] != "norm1"])
    assert "19 layers that compute instead of 20" in written(net[:-1])
    assert "conv2 has stride 1, padding 2 and 1 groups" in written(
        [(name, kind, settings | ({"group": 1} if name == "conv2" else {})) for name, kind, settings in net]
    )
    assert "its two LRN layers differ" in written(
        [(name, kind, settings | ({"k": 2.0} if name == "norm2" else {})) for name, kind, settings in net]
    )
    assert "norm1 normalizes within each map" in written(
        [(name, kind, settings | ({"norm_region": 1} if kind == "LRN" else {})) for name, kind, settings in net]
    )
    assert "fc7 has 0 tensors" in written(net, {name: pair for name, pair in tiny.items() if name != "fc7"})
    content = caffe_writer.caffemodel(net, tiny)
    for length in range(1, len(content)):
        file.write_bytes(content[:length])
        assert refusal(file)


def test_run_folders_that_cannot_be_exported(tmp_path: Path) -> None:
    def refused(folder: Path = tmp_path, checkpoint: str = "best") -> str:
        with pytest.raises(UserError) as caught:
            load_run(folder, checkpoint)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refused(tmp_path / "missing").endswith("no such folder")
    assert "is not a run folder" in refused()
    config = tmp_path / "config.yaml"
    for text in ("model: [", "- 1", "model: {widht: 1}", "data: {}", "", "!!python/object/apply:os.system [ls]"):
        config.write_text(text)
        assert refused().startswith(str(config))
    network = trained("mini")
    config.write_text(json.dumps({"model": dataclasses.asdict(network.model)}))
    assert refused(checkpoint="worst").startswith("checkpoint=worst: must be one of")
    assert "has not finished an epoch" in refused()
    (tmp_path / "checkpoints").mkdir()
    state = {f"network.{name}": tensor for name, tensor in network.network.state_dict().items()}
    file = tmp_path / "checkpoints" / "best.ckpt"

    def save(content: Any) -> None:
        checkpoint = checkpoint_file.to_bytes(content)
        file.write_bytes(bytes(checkpoint) + checkpoint_file.seal(checkpoint))

    for content in ({}, [], {"state_dict": {}}, {"state_dict": {"other": torch.zeros(3)}}, {"state_dict": [1]}):
        save(content)
        assert refused().startswith(str(file))
    save({"state_dict": state | {"network.fc7.linear.bias": torch.zeros(3)}})
    assert "network.fc7.linear.bias is 3, and in mini 1024" in refused()
    save({"state_dict": state})
    assert load_run(tmp_path).pixel_mean is None
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:1000], whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]):
        file.write_bytes(damaged)
        assert refused().endswith("is damaged or cut short, its checksum does not fit")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "format=: must be given"),
        (("format=onnx", "out=x"), "run=DIR or weights=FILE"),
        (("run=a", "weights=b", "format=onnx", "out=x"), "run=DIR or weights=FILE"),
        (("run=a", "format=tflite", "out=x"), "format=tflite: must be one of safetensors, onnx, state_dict"),
        (("run=a", "format=onnx", "out=x", "chekpoint=last"), "did you mean checkpoint?"),
        (("run=a", "format=onnx", "out=x", "checkpoint=3"), "checkpoint=3: must be one of best, last"),
        (("run=a", "format=onnx", "out="), "out=: needs a value"),
        (("run=a", "run=b"), "run: is given twice"),
        (("a",), "a: cannot be read as key=value"),
        (("run=a", "format=onnx", "out=missing/x"), "there is no folder missing"),
        (("run=a", "format=onnx", "out=."), "is a folder"),
    ],
)
def test_command_lines_that_cannot_be_meant(arguments: tuple[str, ...], words: str, program) -> None:
    answer = program("export.py", *arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert words in answer.stderr
