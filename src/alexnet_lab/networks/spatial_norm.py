"""The original program's normalization within each map, which the paper does not mention."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.networks.local_response_norm_shared import compute_dtype, inverse_power

# Elements that a thread takes at a time, but one image at least: intermediate results then stay in its cache.
ELEMENTS_AT_A_TIME = 131072


class Constants(NamedTuple):
    """y = x d^-beta; d = 1 + (alpha / size^2) (sum of x^2 over size x size neighbours)."""

    size: int
    alpha: float
    beta: float


class SpatialNorm(nn.Module):
    """Divide each activation by (1 + alpha / size^2 * S)^beta, S summing squares over size x size neighbours.

    Input and output: (N, C, H, W), of one dtype and memory format; half types are computed in float32.
    Neighbours lie in the same map; those beyond the edge count as 0. `size` is odd. Backward keeps the input alone.
    Source: layer type rnorm of the 2012 program, after conv2's LRN in run 145 (size 5, alpha 1e-3, beta 0.75).
    """

    def __init__(self, size: int = 5, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be an odd number of pixels, not {size}")
        self.constants = Constants(size, alpha, beta)

    def forward(self, x: Tensor) -> Tensor:
        return _spatial_norm(x, self.constants)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.constants._asdict().items())


@torch.fx.wrap  # one step of a graph of torch.fx, which cannot follow how it chooses
def _spatial_norm(x: Tensor, constants: Constants) -> Tensor:
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or x.numel() == 0:
        return plain_spatial_norm(x, constants)
    return _SpatialNormFunction.apply(x, constants)


def plain_spatial_norm(x: Tensor, constants: Constants) -> Tensor:
    """The same in differentiable operations: for compilers, exporters and double backward."""
    wide = x.to(compute_dtype(x))
    return (wide * inverse_power(_denominator(wide, constants), constants.beta)).to(x.dtype)


class _SpatialNormFunction(torch.autograd.Function):
    """dx = g d^-beta - (2 alpha beta / size^2) x (sum of g x d^(-beta - 1) over the neighbours)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, constants: Constants) -> Tensor:
        ctx.save_for_backward(x)
        ctx.constants = constants
        result = torch.empty_like(x)
        for part, y in zip(_parts(x), _parts(result), strict=True):
            wide = part.to(compute_dtype(x))
            y.copy_(inverse_power(_denominator(wide, constants), constants.beta).mul_(wide))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,), constants = ctx.saved_tensors, ctx.constants
        if torch.is_grad_enabled():  # create_graph=True: the result has to be differentiable itself
            y = plain_spatial_norm(x, constants)
            return torch.autograd.grad(y, x, gradient, create_graph=True)[0], None
        result = torch.empty_like(x)
        for part, g, dx in zip(_parts(x), _parts(gradient), _parts(result), strict=True):
            wide = part.to(compute_dtype(x))
            d = _denominator(wide, constants)
            scaled = inverse_power(d, constants.beta).mul_(g)
            around = _mean((scaled * wide).div_(d), constants.size)
            dx.copy_(scaled.addcmul_(wide, around, value=-2 * constants.alpha * constants.beta))
        return result, None


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """A few images at a time on a CPU, all of them on a GPU."""
    images = max(1, ELEMENTS_AT_A_TIME * torch.get_num_threads() // x[0].numel())
    return x.split(images if x.device.type == "cpu" else len(x))


def _mean(x: Tensor, size: int) -> Tensor:
    # The average over the whole window, edge included, is the sum over size^2: alpha's own divisor.
    return F.avg_pool2d(x, size, stride=1, padding=size // 2, count_include_pad=True)


def _denominator(x: Tensor, constants: Constants) -> Tensor:
    return _mean(x * x, constants.size) * constants.alpha + 1.0
