"""Files that are damaged, foreign or hostile are refused in one line, and nothing in them runs."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import caffe_writer
import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from random_networks import scatter, trained

from alexnet_lab.errors import UserError
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.importing import import_weights
from alexnet_lab.weights.run_folder import load_run
from alexnet_lab.weights.safetensors_file import ENTRY
from conftest import SOURCE, one_thread

GIGABYTE = 2**30


class Hostile:
    """Unpickling this runs a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


def refusal(file: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UserError) as caught:
        import_weights(file)
    text = str(caught.value)
    assert text.startswith(str(file))
    assert "\n" not in text
    assert len(text) < len(str(file)) + 250
    return text.removeprefix(f"{file}: ")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.safetensors"
    safetensors_file.save(trained("mini", width=0.0625), file)
    return file


def changed(
    good: Path,
    tensors: Callable[[dict[str, torch.Tensor]], Any] = lambda tensors: None,
    description: Callable[[dict[str, Any]], Any] = lambda description: None,
) -> Path:
    """A copy of the good file in which something is otherwise."""
    content = safetensors.torch.load_file(good)
    with safetensors.safe_open(good, "pt") as file:
        metadata = json.loads(file.metadata()[ENTRY])
    tensors(content)
    description(metadata)
    bad = good.with_name("bad.safetensors")
    safetensors.torch.save_file(content, bad, {ENTRY: json.dumps(metadata)})
    return bad


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


def test_a_pickle_with_code_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "hostile.pth"
    contents = ({"features.0.weight": Hostile()}, Hostile())
    for content in contents:
        for new_format in (True, False):
            torch.save(content, file, _use_new_zipfile_serialization=new_format)
            assert "system" in refusal(file)
        for protocol in (2, 4):
            file.write_bytes(pickle.dumps(content, protocol))
            assert "refused" in refusal(file) or "cannot be read" in refusal(file)

    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("model: {name: mini}\n")
    torch.save({"state_dict": contents[0]}, tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match="refused, it holds Python objects"):
        load_run(tmp_path)
    assert not (tmp_path / "pwned").exists()
    pickle.loads(pickle.dumps(Hostile()))
    assert (tmp_path / "pwned").exists()  # what would have happened


def test_a_whole_model_instead_of_its_state_dict(tmp_path: Path) -> None:
    torch.save(torchvision.models.squeezenet1_1(), tmp_path / "model.pth")
    assert "holds Python objects (torchvision.models.squeezenet.SqueezeNet)" in refusal(tmp_path / "model.pth")


def test_archives_that_unpack_to_more_than_they_hold(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(10_000_000)}, tmp_path / "good.pth")
    file = tmp_path / "bomb.pth"
    with (
        zipfile.ZipFile(tmp_path / "good.pth") as good,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in good.infolist():
            bomb.writestr(entry.filename, good.read(entry))
    assert file.stat().st_size < 1e6
    assert "would unpack to 400" in refusal(file)


def test_claims_of_size_take_no_memory(good: Path, tmp_path: Path) -> None:
    """In a process that may not have a gigabyte more than it begins with."""
    length = int.from_bytes(good.read_bytes()[:8], "little")
    files = {
        "header of 1 GB": struct.pack("<Q", GIGABYTE) + b"{",
        "header of 2^63": struct.pack("<Q", 2**63) + b"{",
        "header longer than the file": struct.pack("<Q", 2**20) + b"{",
        "huge tensor": _safetensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
        "overflowing tensor": _safetensors({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 0]}}),
        "cut": good.read_bytes()[:-1],
        "cut in the header": good.read_bytes()[: length // 2],
        "longer": good.read_bytes() + b"\0",
        "field beyond the end": b"\x0a" + caffe_writer.varint(2**40),
        "huge blob": _claimed_blob(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "header of 1 GB").open("r+b") as file:
        file.truncate(2 * GIGABYTE)
    with (tmp_path / "endless zeros").open("wb") as file:
        file.truncate(8 * GIGABYTE)
    wide = {"width": 8.0, "input_size": 4096, "kernels": [10**9] * 5}
    (tmp_path / "huge network").write_bytes(changed(good, description=lambda d: d["model"].update(wide)).read_bytes())
    many = {"num_classes": 2**31 - 1}
    (tmp_path / "many classes").write_bytes(changed(good, description=lambda d: d.update(many)).read_bytes())
    torch.save({"features.0.weight": torch.zeros(1).expand(2**40)}, tmp_path / "expanded.pth")

    names = [*files, "endless zeros", "huge network", "many classes", "expanded.pth"]
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from pathlib import Path\n"
        "from alexnet_lab.errors import UserError\n"
        "from alexnet_lab.weights.importing import import_weights\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0])\n"
        f"limit = pages * resource.getpagesize() + {GIGABYTE}\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        import_weights(Path(name))\n"
        "        print('taken', name)\n"
        "    except UserError as error:\n"
        "        assert 'emory' not in str(error), error\n"
        "        print('refused')\n"
    )
    command = [sys.executable, "-c", code, str(SOURCE), *names]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=one_thread(), check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["refused"] * len(names)


def _claimed_blob() -> bytes:
    """A .caffemodel with AlexNet's layers, of which conv1 has one number and claims 2^60."""
    claim = SimpleNamespace(shape=(2**20, 2**20, 2**20), ndim=3, astype=np.ones(1).astype)
    tensors = caffe_writer.tiny_weights() | {"conv1": (claim, claim)}
    return caffe_writer.caffemodel(caffe_writer.layers(), tensors)


def _safetensors(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_tensors_that_do_not_fit(good: Path) -> None:
    bias = "conv2.conv.bias"
    bad = changed(good, lambda tensors: tensors.update({bias: torch.zeros(5)}))
    assert refusal(bad) == "conv2.conv.bias is 5, and in a mini network 16"
    weight = "fc6.linear.weight"
    bad = changed(good, lambda tensors: tensors.update({weight: tensors[weight].T.contiguous()}))
    assert refusal(bad) == "fc6.linear.weight is 64 x 256, and in a mini network 256 x 64"
    bad = changed(good, lambda tensors: tensors.pop(bias))
    assert refusal(bad) == "has no tensor conv2.conv.bias; it does not hold a mini network"
    bad = changed(good, lambda tensors: tensors.update(extra=torch.zeros(5)))
    assert refusal(bad) == "has a tensor extra, which a mini network has not"
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
        ({"num_classes": 8}, "fc8.weight is 7 x 256, and in a mini network 8 x 256"),
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
    assert refusal(file) == (
        "features.3.weight is 192 x 32 x 5 x 5, and in a alexnet_torchvision network 192 x 64 x 5 x 5"
    )
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
    assert "conv1.weight is 1 x 3 x 1 x 1, and in a alexnet_caffe network 96 x 3 x 11 x 11" in written(net)
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


def test_random_damage_never_ends_in_a_traceback(good: Path, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    torch.save(scatter(torchvision.models.squeezenet1_1()).state_dict(), tmp_path / "state.pth")
    contents = [
        caffe_writer.caffemodel(caffe_writer.layers(), caffe_writer.tiny_weights()),
        good.read_bytes()[:4000],
        (tmp_path / "state.pth").read_bytes()[:20000],
    ]
    for content in contents:
        for _ in range(100):
            damaged = bytearray(content)
            for position in torch.randint(len(damaged), (3,), generator=generator).tolist():
                damaged[position] = int(torch.randint(256, (1,), generator=generator))
            (tmp_path / "damaged").write_bytes(damaged)
            assert refusal(tmp_path / "damaged")


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
    for content in ({}, [], {"state_dict": {}}, {"state_dict": {"other": torch.zeros(3)}}, {"state_dict": [1]}):
        torch.save(content, file)
        assert refused().startswith(str(file))
    torch.save({"state_dict": state | {"network.fc7.linear.bias": torch.zeros(3)}}, file)
    assert "network.fc7.linear.bias is 3, and in a mini network 1024" in refused()
    torch.save({"state_dict": state}, file)
    assert load_run(tmp_path).pixel_mean is None


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
