"""The networks of other programs, and the neighbours, are what those programs build."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from alexnet_lab.config.architectures import ModelConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.alexnet import TowerLinear
from alexnet_lab.networks.build import build_network
from config.test_config import composed
from networks.made import alexnet

NEIGHBOURS = ("lenet5", "cifar10_net", "cifar10_local_net", "vgg11", "googlenet", "resnet18")  # one of each family


def built(*overrides: str, num_classes: int = 10) -> nn.Module:
    torch.manual_seed(0)
    return build_network(composed(*overrides).model, num_classes)


def test_torchvisions_weights_give_torchvisions_logits() -> None:
    """The parameters of both come in the same order and shapes; pixel_scale aside, so do the logits."""
    theirs = torchvision.models.alexnet(weights=None).eval()
    ours = built("model=alexnet_torchvision", "model.pixel_scale=1", num_classes=1000).eval()
    assert [value.shape for value in ours.state_dict().values()] == [v.shape for v in theirs.state_dict().values()]
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 224, 224)
    assert torch.allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-6)


def test_torchvisions_start() -> None:
    torch.manual_seed(0)
    ours = built("model=alexnet_torchvision", num_classes=1000).state_dict().values()
    theirs = torchvision.models.alexnet(weights=None).state_dict().values()
    for one, other in zip(ours, theirs, strict=True):
        assert float(one.abs().max()) == pytest.approx(float(other.abs().max()), rel=0.1)
        assert float(one.std()) == pytest.approx(float(other.std()), rel=0.25)


def test_kerass_count_layer_by_layer() -> None:
    with torch.device("meta"):
        network = built("model=alexnet_keras", num_classes=1000)
    counts = [sum(p.numel() for p in layer.parameters()) for layer in network.weighted_layers()]
    assert counts == [34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000]
    assert sum(counts) == 62_378_344
    assert sum(counts) + 1000 * 2 + 2 == 62_380_346  # the published count, with a stray Dense(1000 -> 2)


def stock_caffe(width: float, pool_first: bool) -> nn.Sequential:
    """bvlc_alexnet's layer file, or CaffeNet's, in PyTorch's own modules; Caffe's LRN knows nothing of groups."""
    c1, c2, c3, c4, c5, units = (int(width * count) for count in (96, 256, 384, 384, 256, 4096))

    def norm_and_pool() -> list[nn.Module]:
        pair = [nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0), nn.MaxPool2d(3, 2, ceil_mode=True)]
        return pair[::-1] if pool_first else pair

    layers = [
        nn.Conv2d(3, c1, 11, 4), nn.ReLU(), *norm_and_pool(),
        nn.Conv2d(c1, c2, 5, padding=2, groups=2), nn.ReLU(), *norm_and_pool(),
        nn.Conv2d(c2, c3, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c3, c4, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(c4, c5, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Flatten(), nn.Linear(c5 * 36, units), nn.ReLU(), nn.Dropout(),
        nn.Linear(units, units), nn.ReLU(), nn.Dropout(), nn.Linear(units, 10),
    ]  # fmt: skip
    return nn.Sequential(OrderedDict((str(number), layer) for number, layer in enumerate(layers)))


@pytest.mark.parametrize(("order", "pool_first"), [("paper", False), ("caffenet", True)])
def test_caffes_layer_file_in_stock_modules(order: str, pool_first: bool) -> None:
    ours = built("model=alexnet_caffe", "model.width=0.125", f"model.layer_order={order}").double().eval()
    theirs = stock_caffe(0.125, pool_first).double().eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = 60 * torch.randn(1, 3, 227, 227, dtype=torch.float64)
    assert torch.allclose(ours(x), theirs(x), rtol=1e-9)


def test_caffes_start() -> None:
    network = built("model=alexnet_caffe", "model.width=0.125")
    assert [float(layer.bias[0].detach()) for layer in network.weighted_layers()] == pytest.approx(
        [0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0]
    )
    assert float(network.fc6.linear.weight.detach().std()) == pytest.approx(0.005, rel=0.05)


def test_who_scales_for_dropout_at_test_time() -> None:
    """The program of 2012 and the paper; those that came after them scale in training."""
    presets = ("alexnet", "alexnet_paper", "alexnet_caffe", "alexnet_torchvision", "alexnet_keras")
    scaling = {name: composed(f"model={name}").model.dropout_scaling for name in presets}
    assert [name for name in presets if scaling[name] == "test"] == ["alexnet", "alexnet_paper"]


def test_the_papers_alpha_is_not_divided() -> None:
    paper = built("model=alexnet_paper", "model.width=0.125")
    assert paper.conv1.lrn.constants.alpha / paper.conv1.lrn.constants.size == pytest.approx(1e-4)
    assert [name for name, _ in paper.conv2.named_children()] == ["conv", "activation", "lrn", "pool"]


@pytest.mark.parametrize("model", NEIGHBOURS)
def test_a_neighbour_learns_one_batch(model: str) -> None:
    size = 32 if model in ("lenet5", "cifar10_net", "cifar10_local_net") else 64
    network = built(f"model={model}", f"model.input_size={size}", num_classes=7).train()
    x, labels = 60 * torch.randn(2, 3, size, size), torch.tensor([0, 6])
    logits = network(x)
    assert logits.shape == (2, 7)
    F.cross_entropy(logits, labels).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    assert network(x).shape == (2, 7)


def test_the_cifar10_network_has_the_originals_maps() -> None:
    network = built("model=cifar10_net")
    x = network.conv1(torch.zeros(1, 3, 32, 32))
    assert (x.shape, network.conv2(x).shape, network.features(torch.zeros(1, 3, 32, 32)).shape) == (
        (1, 32, 16, 16), (1, 32, 8, 8), (1, 64 * 4 * 4),
    )  # fmt: skip
    assert sum(p.numel() for p in network.parameters()) == 89_578
    names = [name for name, _ in network.named_modules() if name.endswith("lrn")]
    assert names == ["conv1.lrn", "conv2.lrn"]
    assert not [name for name, _ in built("model=cifar10_net", "model.lrn=false").named_modules() if "lrn" in name]


def test_lenet5_has_the_parameters_of_1998_and_two_more_colours() -> None:
    assert sum(p.numel() for p in built("model=lenet5").parameters()) == 61_706 + 2 * 6 * 25


def test_googlenet_and_vgg_have_their_own_dropout() -> None:
    for model, rate in (("googlenet", 0.2), ("vgg11", 0.5)):
        with torch.device("meta"):
            network = build_network(composed(f"model={model}").model, 10)
        assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {rate}


def test_pytorchs_start_reaches_layers_that_pytorch_does_not_have() -> None:
    network = alexnet(10, width=0.125, communicating=False, initialization="pytorch")
    assert isinstance(network.fc6.linear, TowerLinear)
    bound = network.fc6.linear.weight.shape[1] ** -0.5
    for parameter in (network.fc6.linear.weight, network.fc6.linear.bias):
        assert float(parameter.detach().abs().max()) == pytest.approx(bound, rel=0.05)


def test_an_architecture_that_nobody_builds_is_one_line() -> None:
    with pytest.raises(UserError, match=r"alexnet2: is named in .* and built by nobody"):
        build_network(ModelConfig(architecture="alexnet2"), 10)
