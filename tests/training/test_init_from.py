"""Runs that begin with the weights of another run, or of a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from continued_runs import outcome, own_signals, signal_at, tiny  # noqa: F401
from torch import Tensor, nn

from alexnet_lab.config.options import OptimizationConfig
from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.networks.layers import freeze, last_layer
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.training.recipe import make_optimizer
from alexnet_lab.training.run import train
from alexnet_lab.weights import safetensors_file
from alexnet_lab.weights.run_folder import load_run
from config.test_config import composed
from conftest import Program

pytestmark = pytest.mark.slow

FIVE_OTHERS = ("data.num_classes=5", "data.collection_seed=1")


@pytest.fixture(scope="module")
def first(store_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on seven classes."""
    folder = tmp_path_factory.mktemp("first")
    train(tiny(store_root), folder, [])
    return folder


def weights(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = checkpoint_file.read(folder / "checkpoints" / "last.ckpt")["state_dict"]
    return {name.removeprefix("network."): tensor for name, tensor in state.items() if name.startswith("network.")}


def test_other_classes_get_a_new_last_layer_and_frozen_layers_stay(
    first: Path, store_root: Path, tmp_path: Path
) -> None:
    run = tiny(store_root, *FIVE_OTHERS, f"init_from={first}", "freeze=up-to-conv3", "optim.weight_decay=0.1")
    train(run, tmp_path, [])
    # The best epoch's, as src/evaluate.py has them.
    before, after = load_run(first).network.state_dict(), weights(tmp_path)
    frozen = {name for name in before if name.startswith(("conv1", "conv2", "conv3"))}
    assert frozen == {name for name in before if torch.equal(before[name], after[name]) if "fc8" not in name}
    assert len(after["fc8.bias"]) == 5
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["began_with"]["from"] == str(first)
    assert result["began_with"]["new"] == ["fc8.bias", "fc8.weight"]


def test_the_same_classes_keep_the_last_layer(first: Path, store_root: Path, tmp_path: Path) -> None:
    """Without a step to speak of, a run says of its images what the one says that it began with."""
    run = tiny(
        store_root, f"init_from={first / 'checkpoints' / 'last.ckpt'}", "optim.learning_rate=0", "optim.epochs=1"
    )
    train(run, tmp_path, [])
    assert all(torch.equal(tensor, weights(tmp_path)[name]) for name, tensor in weights(first).items())
    results = [json.loads((folder / "result.json").read_text()) for folder in (first, tmp_path)]
    assert results[0]["metrics"]["val_top1_error"] == results[1]["metrics"]["val_top1_error"]
    assert results[1]["began_with"]["new"] == []


def test_a_file_of_weights_is_begun_with_as_the_run_is_that_it_comes_from(
    first: Path, store_root: Path, tmp_path: Path
) -> None:
    safetensors_file.save(load_run(first), tmp_path / "first.safetensors")
    folders = []
    for name, source in (("a", first), ("b", tmp_path / "first.safetensors")):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        train(tiny(store_root, *FIVE_OTHERS, f"init_from={source}", "optim.epochs=1"), folders[-1], [])
    assert all(torch.equal(tensor, weights(folders[1])[name]) for name, tensor in weights(folders[0]).items())
    digests = [json.loads((folder / "result.json").read_text())["began_with"]["sha256"] for folder in folders]
    assert digests[0] == digests[1]


def test_an_interrupted_run_goes_on_from_its_own_weights(
    first: Path, store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = shutil.copytree(first, tmp_path / "source")
    overrides = (*FIVE_OTHERS, f"init_from={source}", "freeze=features", "optim.earlier_layers_rate_factor=0.1")
    for name in ("whole", "interrupted"):
        (tmp_path / name).mkdir()
    train(tiny(store_root, *overrides), tmp_path / "whole", [])
    with monkeypatch.context() as patch:
        signal_at(patch, "on_train_batch_start", lambda module: module.trainer.global_step == 5)
        with pytest.raises(Preempted):
            train(tiny(store_root, *overrides), tmp_path / "interrupted", [])
    shutil.rmtree(source)  # whose weights the run has had
    train(tiny(store_root, *overrides), tmp_path / "interrupted", [])
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "interrupted")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "interrupted")]
    assert results[0]["began_with"] == results[1]["began_with"]


def test_earlier_layers_learn_at_a_rate_of_their_own() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    recipe = OptimizationConfig(learning_rate=0.1, bias_learning_rate_factor=2.0, earlier_layers_rate_factor=0.1)
    rates = {
        id(parameter): group["lr"]
        for group in make_optimizer(network, recipe).param_groups
        for parameter in group["params"]
    }
    expected = {"0.weight": 0.01, "0.bias": 0.02, "1.weight": 0.1, "1.bias": 0.2}
    assert {name: rates[id(one)] for name, one in network.named_parameters()} == pytest.approx(expected)


def test_frozen_batch_normalization_keeps_its_statistics(store_root: Path, tmp_path: Path) -> None:
    resnet = [f"data.store_root={store_root}", "model=resnet18", "model.input_size=32", "model.stored_size=44"]
    resnet += ["data.num_classes=7", "data.train_images_per_class=16", "data.val_images_per_class=7"]
    resnet += ["optim.batch_size=56", "optim.epochs=1", "trainer.accelerator=cpu", "logger=none"]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    train(composed(*resnet), tmp_path / "first", [])
    train(composed(*resnet, f"init_from={tmp_path / 'first'}", "freeze=features"), tmp_path / "second", [])
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"network.fc.weight", "network.fc.bias"}


def test_layers_are_named_as_the_network_has_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    assert last_layer(network) == "3"
    freeze(network, "features")
    assert [one.requires_grad for one in network.parameters()] == [False, False, True, True, True, True]
    with pytest.raises(UserError, match="no such layer; choose from up-to-0, up-to-2, up-to-3"):
        freeze(network, "up-to-conv1")
    with pytest.raises(UserError, match="leaves nothing to train"):
        freeze(network, "up-to-3")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("init_from=nowhere",), "error: init_from=nowhere: no such file"),
        (("init_from=.",), "error: init_from=run=.: is not a run folder"),
        (("freeze=features",), "error: freeze=features: would keep random weights; name trained ones with init_from="),
        (("freeze=conv3", "init_from=x"), "error: freeze=conv3: must be features, none, or up-to-NAME"),
        (
            ("init_from={first}", "freeze=up-to-conv9"),
            "error: freeze=up-to-conv9: no such layer; choose from up-to-conv1",
        ),
        (("init_from={first}", "model.width=0.1"), "error: init_from={first}: conv1.conv.weight is "),
        (("init_from={first}", "model.without=conv3"), "error: init_from={first}: has a tensor conv3.conv.weight"),
    ],
)
def test_what_cannot_be_begun_with_is_refused_in_a_line(
    first: Path, program: Program, tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    tiny_network = ("model.width=0.05", "model.towers=1", "logger=none", "trainer.accelerator=cpu")
    asked = [text.replace("{first}", str(first)) for text in arguments]
    refused = program("train.py", *tiny_network, *asked)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert refused.stderr.startswith(line.replace("{first}", str(first))), refused.stderr
    assert not list(tmp_path.iterdir())
