"""The convolutions with fewer multiplications give what torch.nn's give: results, gradients, and theirs in turn."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.networks.alexnet import AlexNet
from alexnet_lab.networks.convolution import Convolution

# Channels, kernels, size of a kernel, groups, height and width: AlexNet's at 224 pixels, and one with odd edges.
LAYERS = {
    "conv2": (96, 256, 5, 2, (27, 27)),
    "conv3": (256, 384, 3, 1, (13, 13)),
    "conv5": (384, 256, 3, 2, (13, 13)),
    "oblong": (48, 48, 5, 1, (22, 31)),
}


def layer_and_input(channels, kernels, kernel_size, groups, sides, pictures=16) -> tuple[Convolution, Tensor]:
    torch.manual_seed(0)
    layer = Convolution(channels, kernels, kernel_size, padding=kernel_size // 2, groups=groups)
    return layer, torch.randn(pictures, channels, *sides)


def gradients(layer: nn.Module, x: Tensor, of_result: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    result = layer(x)
    return [result, *torch.autograd.grad(result, [x, *layer.parameters()], of_result)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("sizes", LAYERS.values(), ids=LAYERS.keys())
def test_results_and_gradients_are_those_of_torch(sizes, layout) -> None:
    layer, x = layer_and_input(*sizes)
    layer, x = layer.to(memory_format=layout), x.to(memory_format=layout)
    assert layer.saves_multiplications(x)
    exact = nn.Conv2d(*sizes[:3], padding=sizes[2] // 2, groups=sizes[3]).double()
    exact.load_state_dict(layer.state_dict())
    of_result = torch.randn(len(x), sizes[1], *sizes[4])
    for ours, theirs in zip(
        gradients(layer, x, of_result), gradients(exact, x.double(), of_result.double()), strict=True
    ):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).detach().abs().max() / theirs.detach().abs().max()) < 3e-5


def test_the_fewest_multiplications_that_were_promised() -> None:
    layer, x = layer_and_input(*LAYERS["conv2"])
    tiling = layer.saves_multiplications(x)
    assert (tiling.step, tiling.size, tiling.tiles) == (4, 8, (7, 7))  # 3,136 for a map's 18,225


def test_the_gradient_can_be_differentiated() -> None:
    layer, x = layer_and_input(48, 48, 3, 1, (13, 13))
    plain = nn.Conv2d(48, 48, 3, padding=1)
    plain.load_state_dict(layer.state_dict())

    def second(network: nn.Module) -> Tensor:
        [first] = torch.autograd.grad(network(x).square().sum(), network.weight, create_graph=True)
        return torch.autograd.grad(first.square().sum(), network.weight)[0]

    ours, theirs = second(layer), second(plain)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


def test_frozen_parameters_and_inputs_get_no_gradient() -> None:
    layer, x = layer_and_input(*LAYERS["conv5"])
    layer.weight.requires_grad_(False)
    x.requires_grad_()
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None
    assert layer.bias.grad is not None

    first, x = layer_and_input(*LAYERS["conv5"])
    first(x).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "layer",
    [
        Convolution(48, 48, 3, padding=1, bias=False),
        Convolution(48, 48, 3, stride=2, padding=1),
        Convolution(48, 48, 3, dilation=2),
        Convolution(48, 48, 3, padding="same"),
        Convolution(48, 48, 3, padding=1, padding_mode="reflect"),
        Convolution(48, 48, (3, 5)),
        Convolution(48, 48, 11),
        Convolution(48, 48, 3, padding=(1, 0)),
        Convolution(32, 64, 3, padding=1),
    ],
    ids=str,
)
def test_all_others_are_torchs_own(layer: Convolution) -> None:
    x = torch.randn(16, layer.in_channels, 13, 13)
    assert layer.saves_multiplications(x) is None
    plain = copy.deepcopy(layer)
    plain.__class__ = nn.Conv2d
    assert torch.equal(layer(x), plain(x))


def test_other_precisions_and_small_batches_are_torchs_own() -> None:
    layer, x = layer_and_input(*LAYERS["conv3"])
    assert layer.saves_multiplications(x[:4]) is None
    assert layer.double().saves_multiplications(x.double()) is None
    layer = layer.bfloat16()
    assert torch.equal(layer(x.bfloat16()), F.conv2d(x.bfloat16(), layer.weight, layer.bias, padding=1))


def test_a_compiler_and_an_exporter_see_an_ordinary_convolution() -> None:
    layer, x = layer_and_input(*LAYERS["conv5"])
    program = torch.export.export(layer, (x,))
    assert any("conv2d" in str(node.target) for node in program.graph.nodes)
    assert torch.allclose(program.module()(x), layer(x), atol=1e-4)


def test_a_network_learns_as_with_torchs_convolutions(monkeypatch) -> None:
    """The same losses, step for step, from the same start with the same dropout."""
    torch.manual_seed(0)
    pixels, labels = 60 * torch.randn(16, 3, 224, 224), torch.arange(16) % 4
    start = AlexNet(4, units=(512, 512), dropout_scaling="training").to(memory_format=torch.channels_last)

    def losses() -> list[float]:
        network = copy.deepcopy(start)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.003, momentum=0.9)
        torch.manual_seed(1)
        curve = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(pixels), labels)
            loss.backward()
            optimizer.step()
            curve.append(float(loss.detach()))
        return curve

    ours = losses()
    monkeypatch.setattr(Convolution, "saves_multiplications", lambda self, x: None)
    theirs = losses()
    assert max(theirs) - min(theirs) > 0.1
    assert ours == pytest.approx(theirs, rel=1e-3)
