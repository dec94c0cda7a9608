"""The network and its gradients are the 2012 program's, in every run behind the paper's ablations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from networks.made import alexnet
from networks.reference import Reference, Run

SMALL = {"width": 0.25, "input_size": 48, "stem_kernel_size": 5, "stem_stride": 2}
# Signals of about the size that the original has at full width: there LRN divides by more than its constant alone.
INITIAL = {"init_std": [0.1633, 0.0816, 0.0589, 0.0680, 0.0680, 0.06, 0.05, 0.05], "dropout": 0.0}
RUNS = {
    "145": ({}, Run()),
    "145-half": ({"towers": 1, "half_kernels": True}, Run(towers=1)),
    "147": ({"overlapping_pool": False}, Run(pool_size=2)),
    "148": ({"lrn": False}, Run(normalization=False)),
    "150": ({"communicating": False}, Run(communicating=False)),
}


def compare(
    options: dict,
    run: Run,
    dtype: torch.dtype,
    images: int = 3,
    layout=torch.contiguous_format,
    training: bool = True,
) -> float:
    """The largest relative difference between ours and the reference: loss, logits and each parameter's gradient."""
    torch.manual_seed(1)
    network = alexnet(7, **INITIAL | options).train(training)
    side = options["input_size"]
    contrast = 60 if options.get("lrn", True) else 1  # without LRN signals are not held back, and softmax saturates
    x, labels = contrast * torch.randn(images, 3, side, side), torch.arange(images) % 7
    for parameter in network.parameters():
        if parameter.dim() == 1:
            parameter.data.normal_()  # so that a bias in the wrong place is seen
    network, x = network.to(dtype=dtype, memory_format=layout), x.to(dtype=dtype, memory_format=layout)
    parameters = {name: value.double().numpy() for name, value in network.state_dict().items()}

    kept: dict[str, np.ndarray] = {}
    for name in ("fc6", "fc7"):
        layer = getattr(network, name)
        layer.dropout.register_forward_hook(
            lambda module, args, y, name=name: kept.update({f"{name}.linear": (y != 0).double().numpy()})
        )  # what is 0 before, may count as dropped: neither it nor its gradient comes through
    logits = network(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    reference = Reference(run, parameters, x.double().numpy(), labels.numpy(), kept if training else None)

    pairs = {name: (parameter.grad, reference.gradients[name]) for name, parameter in network.named_parameters()}
    pairs |= {"loss": (loss, np.array(reference.loss)), "logits": (logits, reference.logits)}
    differences = {
        name: float(np.linalg.norm(ours.detach().double().numpy() - theirs) / np.linalg.norm(theirs))
        for name, (ours, theirs) in pairs.items()
    }
    assert len(differences) == 18
    assert np.isfinite(list(differences.values())).all()
    return max(differences.values())


@pytest.mark.parametrize(("options", "run"), RUNS.values(), ids=RUNS.keys())
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["float64", "float32"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
def test_every_run_of_the_original_program(options, run, dtype, limit, layout) -> None:
    assert compare(SMALL | options, dataclasses.replace(run, stem_stride=2), dtype, layout=layout) < limit


@pytest.mark.parametrize("name", RUNS)
def test_dropout_of_training_and_of_test(name: str) -> None:
    """In training half the units of fc6 and fc7 are 0 and the others as they are; at test time all are halved."""
    options, run = RUNS[name]
    options, run = SMALL | options | {"dropout": 0.5}, dataclasses.replace(run, stem_stride=2, dropout=0.5)
    assert compare(options, run, torch.float64, training=True) < 1e-9
    assert compare(options, run, torch.float64, training=False) < 1e-9
    inverted = options | {"dropout_scaling": "training"}
    assert compare(inverted, run, torch.float64, training=True) > 0.1
    assert compare(inverted, run, torch.float64, training=False) > 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        {"lrn_per_tower": False},
        {"lrn_alpha_convention": "per_element"},
        {"lrn_layers": [1]},
        {"spatial_normalization": False},
        {"layer_order": "caffenet"},
        {"activation": "leaky_relu"},
    ],
    ids=str,
)
def test_another_network_is_seen_to_be_another(wrong) -> None:
    """That the comparison would notice: windows across towers, alpha's convention, and so on."""
    assert compare(SMALL | wrong, Run(stem_stride=2), torch.float64) > 1e-3


@pytest.mark.parametrize("name", ["145", "147"])
def test_the_full_geometry(name: str) -> None:
    """224 pixels and the overhanging last window of conv1, with an eighth of the kernels."""
    options, run = RUNS[name]
    assert compare({"width": 0.125, "input_size": 224} | options, run, torch.float64, images=1) < 1e-9


def test_the_reference_has_the_gradient_of_its_own_loss() -> None:
    """A step along each gradient changes the reference's loss by its squared length."""
    torch.manual_seed(0)
    network = alexnet(7, **INITIAL, **SMALL)
    parameters = {name: value.double().numpy() for name, value in network.state_dict().items()}
    x, labels = 60 * np.random.default_rng(0).normal(size=(2, 3, 48, 48)), np.array([1, 4])
    run = Run(stem_stride=2)
    gradients = Reference(run, parameters, x, labels).gradients
    for name, gradient in gradients.items():
        step = 1e-6 * gradient / np.linalg.norm(gradient)
        above, below = (Reference(run, parameters | {name: parameters[name] + s}, x, labels) for s in (step, -step))
        slope = (above.loss - below.loss) / 2e-6
        assert slope == pytest.approx(np.linalg.norm(gradient), rel=1e-4), name
