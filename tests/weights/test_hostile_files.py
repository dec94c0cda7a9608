"""Nothing in a file runs, and no claim of size takes memory."""

from __future__ import annotations

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
import torch
import torchvision
from random_networks import scatter, trained
from refusals import changed, refusal

from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.run_folder import load_run
from conftest import SOURCE, one_thread

pytestmark = pytest.mark.slow

GIGABYTE = 2**30


class Hostile:
    """Unpickling this runs a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.safetensors"
    safetensors_file.save(trained("mini", width=0.0625), file)
    return file


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
    checkpoint = checkpoint_file.to_bytes({"state_dict": contents[0]})  # a stranger can make a checksum that fits
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(bytes(checkpoint) + checkpoint_file.seal(checkpoint))
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
        file.write(b"\x0a")  # as a .caffemodel begins
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
        "from alexnet_lab.core.errors import UserError\n"
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
