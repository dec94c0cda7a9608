"""The normalization within maps: its gradient, its layouts and types, and what compilers see of it."""

from __future__ import annotations

import pytest
import torch

from alexnet_lab.networks import spatial_norm
from alexnet_lab.networks.spatial_norm import SpatialNorm, plain_spatial_norm

SHAPES = [(1, 1, 1, 1), (3, 2, 5, 6), (5, 2, 2, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("beta", [0.75, 1.3])
def test_first_and_second_gradient(shape: tuple[int, ...], size: int, beta: float) -> None:
    torch.manual_seed(0)
    norm, x = SpatialNorm(size, 0.5, beta), torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("at_a_time", [1, 1000, 10**9])
def test_images_at_a_time_and_layouts_change_nothing(layout, at_a_time: int, monkeypatch) -> None:
    monkeypatch.setattr(spatial_norm, "ELEMENTS_AT_A_TIME", at_a_time)
    norm, x = SpatialNorm(), (30 * torch.randn(7, 6, 9, 9)).to(memory_format=layout).requires_grad_()
    y, gradient = norm(x), torch.randn(7, 6, 9, 9)
    assert y.is_contiguous(memory_format=layout)
    assert torch.allclose(y, plain_spatial_norm(x, norm.constants), rtol=1e-6)
    ours, plain = (torch.autograd.grad(f, x, gradient)[0] for f in (y, plain_spatial_norm(x, norm.constants)))
    assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_squares_of_half_numbers_do_not_overflow(dtype: torch.dtype) -> None:
    norm, x = SpatialNorm(), (torch.randn(2, 3, 8, 8) * 1000).to(dtype)
    y = norm(x)
    assert y.dtype == dtype
    assert torch.allclose(y.float(), norm(x.float()), rtol=1e-2)


def test_no_images() -> None:
    assert SpatialNorm()(torch.empty(0, 3, 8, 8)).shape == (0, 3, 8, 8)


def test_an_even_window_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        SpatialNorm(4)
