"""Local response normalization across channels, per tower, several times faster than nn.LocalResponseNorm."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.local_response_norm_shared import Constants, compute_dtype, inverse_power, is_channels_last

# Elements that one thread takes per step: enough to hide the cost of some ten calls from Python, few enough
# for the intermediate results to stay in cache. Half to four times as many are within 10 % of the speed.
ELEMENTS_PER_THREAD = 131072


class LocalResponseNorm(nn.Module):
    """torch.nn.LocalResponseNorm on each of `groups` equal blocks of channels: no window leaves its tower.

    Input and output: (N, C, L), (N, C, H, W) or (N, C, D, H, W), of one dtype and memory format (even under
    autocast, where nn.LocalResponseNorm returns float32). Half types are computed in float32.
    As in nn.LocalResponseNorm, alpha is divided by size, and an even window reaches further down than up.
    Backward keeps the input alone. Compilers and exporters see a few plain operations.
    Raises ValueError for size < 1, groups < 1, fewer than 3 dimensions, or C not divisible by groups.
    Source: section 3.3 of the paper (whose alpha is not divided by size) and the towers of section 3.5.
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if size < 1 or groups < 1:
            raise ValueError(f"size and groups must be at least 1, not {size} and {groups}")
        self.constants = Constants(size, alpha, beta, k, groups)

    def forward(self, x: Tensor) -> Tensor:
        return _local_response_norm(x, self.constants)

    def __prepare_scriptable__(self) -> NoReturn:
        raise UserError(
            "torch.jit.script: cannot take this network, whose normalization chooses its kernels in Python; use "
            "torch.export.export(model, (x,)), torch.jit.trace, or python src/export.py format=onnx"
        )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.constants._asdict().items())


@torch.fx.wrap  # one step of a graph of torch.fx, which cannot follow how it chooses
def _local_response_norm(x: Tensor, constants: Constants) -> Tensor:
    if x.dim() < 3:
        raise ValueError(f"expected at least 3 dimensions (N, C, ...), not {x.dim()}")
    if x.shape[1] % constants.groups:
        raise ValueError(f"{x.shape[1]} channels cannot be divided into {constants.groups} groups")
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or _fused(x.device.type) is None:
        return plain_local_response_norm(x, constants)
    if x.numel() == 0:
        return x
    return _LocalResponseNormFunction.apply(x, constants)


def plain_local_response_norm(x: Tensor, constants: Constants) -> Tensor:
    """The same in differentiable operations: for compilers, exporters, double backward and other devices."""
    size, alpha, beta, k, groups = constants
    towers = x.to(compute_dtype(x)).unflatten(1, (groups, -1))  # (N, groups, C / groups, ...)
    channels = towers.shape[2]
    squares = F.pad(towers * towers, (0, 0) * (x.dim() - 2) + (size // 2, (size - 1) // 2))
    total = squares.narrow(2, 0, channels)
    for shift in range(1, size):
        total = total + squares.narrow(2, shift, channels)
    return (towers * inverse_power(k + alpha / size * total, beta)).flatten(1, 2).to(x.dtype)


class _LocalResponseNormFunction(torch.autograd.Function):
    """Keeps x alone for backward: computing d again is faster than storing and loading it."""

    @staticmethod
    def forward(x: Tensor, constants: Constants) -> Tensor:
        return _fused(x.device.type)(x, None, constants)  # type: ignore[misc]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Constants], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.constants = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the result has to be differentiable itself
            y = plain_local_response_norm(x, ctx.constants)
            return torch.autograd.grad(y, x, gradient, create_graph=True)[0], None
        return _fused(x.device.type)(x, gradient, ctx.constants), None  # type: ignore[misc]


@functools.cache
def _fused(device_type: str) -> Callable[[Tensor, Tensor | None, Constants], Tensor] | None:
    """The fast implementation for a kind of device, if there is one.

    It maps x to y or, given the gradient of y, to the gradient of x, in the memory format of x:
    dx = g d^-beta - (2 alpha beta / size) x * (sum of g x d^(-beta - 1) over the mirrored window).
    """
    if device_type == "cpu":
        return _in_blocks
    if device_type == "cuda":
        try:
            from alexnet_lab.networks.local_response_norm_triton import local_response_norm

            local_response_norm(torch.ones(1, 1, 1, device="cuda"), None, Constants(1, 1.0, 1.0, 1.0, 1))
        except Exception as error:  # Triton is missing, or finds no C compiler, or does not know the GPU
            reason = str(error).strip().partition("\n")[0]
            warnings.warn(f"LocalResponseNorm goes without its Triton kernels: {reason}", stacklevel=2)
            return None
        return local_response_norm
    return None


def _in_blocks(x: Tensor, gradient: Tensor | None, constants: Constants) -> Tensor:
    """Pass the tensors block by block through a few small buffers: each moves to or from memory only once.

    A buffer pads the channels of each tower with size - 1 more. So a shift by one channel is a shift of the
    whole buffer by `inner` elements, and all windows are summed in one contiguous operation. What that and
    the other contiguous operations compute in the padding is never read.
    """
    size, alpha, beta, k, groups = constants
    channels_last = is_channels_last(x)
    x = x if channels_last else x.contiguous()
    result = torch.empty_like(x)
    x_towers, result_towers = _towers(x, groups, channels_last), _towers(result, groups, channels_last)
    gradient_towers = None if gradient is None else _towers(gradient, groups, channels_last)

    outer, _, channels, inner = x_towers.shape
    budget = ELEMENTS_PER_THREAD * torch.get_num_threads()
    inner_blocks = _even_blocks(inner, budget // (groups * channels))
    inner = inner_blocks[0].stop
    outer_blocks = _even_blocks(outer, budget // (groups * channels * inner))
    padded_shape = (outer_blocks[0].stop, groups, channels + size - 1, inner)
    elements = math.prod(padded_shape)
    length = elements - (size - 1) * inner  # of all windows' sums, one after the other

    def interior(buffer: Tensor, start: int = 0) -> Tensor:
        return buffer.view(padded_shape).narrow(2, start, channels)

    dtype = compute_dtype(x)
    constant = torch.tensor(k, dtype=dtype)
    squares_buffer = torch.zeros(elements, dtype=dtype)
    squares, windows = interior(squares_buffer, size // 2), squares_buffer.unfold(0, length, inner)
    d_buffer, power_buffer = torch.empty(elements, dtype=dtype), torch.empty(elements, dtype=dtype)
    d, d_flat = interior(d_buffer), d_buffer[:length]
    power, power_flat = interior(power_buffer), power_buffer[:length]
    if gradient_towers is not None:
        terms_buffer = torch.zeros(elements, dtype=dtype)
        # The mirrored window begins as far below its channel as the window ends above it.
        terms, mirrored = interior(terms_buffer, (size - 1) // 2), terms_buffer.unfold(0, length, inner)

    for rows in outer_blocks:
        for columns in inner_blocks:
            block = (rows, ..., columns)
            x_block = x_towers[block].to(dtype)
            torch.mul(x_block, x_block, out=squares)
            torch.sum(windows, 0, out=d_flat)
            torch.add(constant, d_flat, alpha=alpha / size, out=d_flat)
            if beta == 0.75:  # two square roots and a product are several times faster than a power
                torch.sqrt(d_flat, out=power_flat).rsqrt_().pow_(3)
            else:
                torch.pow(d_flat, -beta, out=power_flat)
            if gradient_towers is None:
                torch.mul(x_block, power, out=result_towers[block])
                continue
            power.mul_(gradient_towers[block])
            torch.mul(power, torch.div(x_block, d, out=d), out=terms)
            torch.sum(mirrored, 0, out=d_flat)
            torch.addcmul(power, x_block, d, value=-2 * alpha * beta / size, out=result_towers[block])
    return result


def _towers(tensor: Tensor, groups: int, channels_last: bool) -> Tensor:
    """View (or copy) as (outer, groups, C / groups, inner): inner is 1 in channels_last, H * W otherwise."""
    if channels_last:
        return tensor.movedim(1, -1).reshape(-1, groups, tensor.shape[1] // groups, 1)
    return tensor.reshape(tensor.shape[0], groups, tensor.shape[1] // groups, -1)


def _even_blocks(total: int, limit: int) -> list[slice]:
    """The fewest equal slices, at most `limit` long, that cover `total`; the last may overlap the others."""
    count = -(-total // max(limit, 1))
    length = -(-total // count)
    starts = (min(start, total - length) for start in range(0, total, length))
    return [slice(start, start + length) for start in starts]
