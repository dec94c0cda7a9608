"""LocalResponseNorm is nn.LocalResponseNorm on each tower, with its gradient, in every layout and dtype."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet_lab.networks import local_response_norm
from alexnet_lab.networks.local_response_norm import LocalResponseNorm
from conftest import HANG

CPP_COMPILERS = ("g++", "clang++", "cl")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that an example takes several, the last of them overlapping the one before."""
    monkeypatch.setattr(local_response_norm, "ELEMENTS_PER_THREAD", 200 // torch.get_num_threads())


def activations(*shape: int, dtype: torch.dtype = torch.float64, layout: str = "contiguous") -> Tensor:
    """Large enough that the denominator varies from 2 to about 100."""
    x = 100 * torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return x.to(memory_format=LAYOUTS[layout]).requires_grad_()


def by_tower(x: Tensor, size: int, beta: float, groups: int) -> Tensor:
    norm = nn.LocalResponseNorm(size, alpha=1e-2, beta=beta, k=2.0)
    return torch.cat([norm(tower) for tower in x.chunk(groups, dim=1)], dim=1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("size", "groups", "beta"), [(5, 2, 0.75), (4, 1, 0.5), (2, 2, 0.5), (1, 1, 0.75)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_agrees_with_torch_on_each_tower(
    size: int, groups: int, beta: float, layout: str, dtype: torch.dtype, tolerance: float
) -> None:
    x = activations(3, 8, 7, 10, dtype=dtype, layout=layout)
    y_gradient = torch.randn(x.shape, dtype=dtype)  # always contiguous: backward copes with either layout

    y = LocalResponseNorm(size, alpha=1e-2, beta=beta, k=2.0, groups=groups)(x)
    expected = by_tower(x, size, beta, groups)
    (x_gradient,) = torch.autograd.grad(y, x, y_gradient)
    (expected_gradient,) = torch.autograd.grad(expected, x, y_gradient)

    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(x_gradient, expected_gradient, rtol=tolerance, atol=tolerance)
    assert y.stride() == x_gradient.stride() == x.stride()


@pytest.mark.parametrize("size", [4, 5])
def test_agrees_with_the_formula_written_as_a_loop(size: int) -> None:
    x = activations(2, 6, 3, 3).detach()
    a = x.numpy()
    expected = np.empty_like(a)
    for c in range(6):
        tower_start, tower_end = (0, 3) if c < 3 else (3, 6)
        window = slice(max(tower_start, c - size // 2), min(tower_end, c + (size - 1) // 2 + 1))
        squares = (a[:, window] ** 2).sum(axis=1)
        expected[:, c] = a[:, c] / (2.0 + 1e-4 / size * squares) ** 0.75
    np.testing.assert_allclose(LocalResponseNorm(size, groups=2)(x).numpy(), expected, rtol=1e-9)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("size", "beta"), [(5, 0.75), (4, 0.5)])
def test_gradient_and_second_gradient_agree_with_finite_differences(size: int, beta: float) -> None:
    norm = LocalResponseNorm(size, alpha=1.0, beta=beta, groups=2)
    x = torch.randn(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 6, 5, 5), (2, 6, 3, 4, 5), (0, 6, 5, 5)])
def test_takes_three_or_more_dimensions(shape: tuple[int, ...]) -> None:
    x = activations(*shape)
    torch.testing.assert_close(LocalResponseNorm(alpha=1e-2, groups=2)(x), by_tower(x, 5, 0.75, 2))


def test_takes_input_that_is_not_contiguous() -> None:
    x = activations(4, 12, 6, 10)[:, ::2, 1:, ::2]
    torch.testing.assert_close(LocalResponseNorm(alpha=1e-2, groups=2)(x), by_tower(x, 5, 0.75, 2))


def test_backward_keeps_the_input_alone() -> None:
    kept: list[Tensor] = []
    x = activations(2, 6, 5, 5)

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        assert LocalResponseNorm()(x).requires_grad
    assert [tensor.data_ptr() for tensor in kept] == [x.data_ptr()]
    assert not LocalResponseNorm()(x.detach()).requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_types_are_computed_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    x = (10 * activations(2, 8, 5, 5, layout="channels_last")).to(dtype)  # the squares overflow float16
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y = LocalResponseNorm(alpha=1e-2, groups=2)(x)
    assert y.dtype == dtype
    torch.testing.assert_close(y, by_tower(x.double(), 5, 0.75, 2).to(dtype))


def test_autocast_leaves_float32_alone() -> None:
    x = activations(2, 8, 5, 5, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = LocalResponseNorm(groups=2)(x)
    assert torch.equal(y, LocalResponseNorm(groups=2)(x))


@pytest.mark.skipif(not any(map(shutil.which, CPP_COMPILERS)), reason="needs a C++ compiler")
def test_compiles_to_one_graph() -> None:
    norm = LocalResponseNorm(alpha=1e-2, groups=2)
    x = activations(2, 8, 5, 5, layout="channels_last")
    y = torch.compile(norm, fullgraph=True)(x)
    torch.testing.assert_close(y, norm(x))
    torch.testing.assert_close(torch.autograd.grad(y.sum(), x), torch.autograd.grad(norm(x).sum(), x))


def test_exports_to_plain_operations_for_any_batch() -> None:
    norm = LocalResponseNorm(alpha=1e-2, beta=0.5, groups=2)
    x = activations(4, 8, 5, 5).detach()
    program = torch.export.export(norm, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert all(node.target.namespace == "aten" for node in program.graph.nodes if node.op == "call_function")
    torch.testing.assert_close(program.module()(x[:3]), norm(x[:3]))


# Triton reads the variable when it is first imported, hence the new process.
TRITON_EXAMPLES = """
import itertools, torch
from alexnet_lab.networks.local_response_norm import _in_blocks
from alexnet_lab.networks.local_response_norm_shared import Constants
from alexnet_lab.networks.local_response_norm_triton import local_response_norm

for size, groups, beta in [(5, 2, 0.75), (4, 1, 0.5)]:
    constants = Constants(size, 1e-2, beta, 2.0, groups)
    for dtype, channels_last in itertools.product([torch.float64, torch.bfloat16], [False, True]):
        x, y_gradient = (100 * torch.randn(2, 2, 10, 3, 5)).to(dtype)
        if channels_last:
            x = x.to(memory_format=torch.channels_last)
        for gradient in (None, y_gradient):
            result = local_response_norm(x, gradient, constants)
            torch.testing.assert_close(result, _in_blocks(x, gradient, constants))
            assert result.stride() == x.stride()
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_triton_kernels_agree_when_interpreted() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", TRITON_EXAMPLES], env=environment, check=True, timeout=HANG)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_agrees_on_a_gpu(layout: str) -> None:
    norm = LocalResponseNorm(alpha=1e-2, groups=2)
    x = activations(3, 96, 13, 13, dtype=torch.float32, layout=layout)
    y, y_on_gpu = norm(x), norm(x.cuda())
    torch.testing.assert_close(y_on_gpu.cpu(), y)
    (gradient,) = torch.autograd.grad(y.sin().sum(), x)
    (gradient_on_gpu,) = torch.autograd.grad(y_on_gpu.sin().sum(), x)
    torch.testing.assert_close(gradient_on_gpu, gradient, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_without_triton_takes_the_plain_operations() -> None:
    with pytest.warns(UserWarning, match="without its Triton kernels"):
        assert local_response_norm._fused.__wrapped__("cuda") is None


def test_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0 and 1"):
        LocalResponseNorm(size=0)
    with pytest.raises(ValueError, match="7 channels cannot be divided into 2 groups"):
        LocalResponseNorm(groups=2)(torch.zeros(1, 7, 2, 2))
    with pytest.raises(ValueError, match="at least 3 dimensions"):
        LocalResponseNorm()(torch.zeros(2, 4))
