"""One tower of a two-tower AlexNet, and what its process exchanges with that of the other tower (section 3.2).

conv1, conv2, conv4 and conv5 need nothing from the other tower. A layer that sees both (conv3, conv6, fc6, fc7) first
fetches the other tower's maps or units and has half of the kernels or units itself; fc8 has the weights of its own
tower's units, and the two towers' sums are added. Networks whose towers do not communicate exchange these sums alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from alexnet_lab.core.errors import UserError
from alexnet_lab.networks.alexnet import AlexNet, DropoutScaledAtTest, TowerLinear
from alexnet_lab.networks.local_response_norm import LocalResponseNorm

TOWERS = 2


class Exchange:
    """Connects the processes of two towers: `tower`, 0 or 1, is this one's number and its rank in `group`.

    bytes_sent: by this process while it computed, forward and backward.
    """

    def __init__(self, tower: int, group: dist.ProcessGroup | None = None) -> None:
        self.tower, self.group, self.bytes_sent = tower, group, 0

    def both(self, own: Tensor) -> list[Tensor]:
        """Both towers' tensors of one shape, in their order; nothing is differentiated."""
        own = own.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(TOWERS)]
        dist.all_gather(parts, own, group=self.group)
        return parts

    def swap(self, own: Tensor) -> Tensor:
        """The other tower's tensor for one's own of the same shape, (N, C) or (N, C, H, W)."""
        packed = own.movedim(1, -1).contiguous()  # channels last, as maps lie in memory: nothing is copied
        self.bytes_sent += packed.numel() * packed.element_size()
        return self.both(packed)[1 - self.tower].movedim(-1, 1)


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, exchange: Exchange) -> Tensor:
        ctx.exchange = exchange
        parts = [own, exchange.swap(own)]
        return torch.cat(parts if exchange.tower == 0 else parts[::-1], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # Each tower has used both towers' values: the gradient of one's own is the sum of what both make of it.
        parts = gradient.chunk(TOWERS, 1)
        return parts[ctx.exchange.tower] + ctx.exchange.swap(parts[1 - ctx.exchange.tower]), None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, exchange: Exchange) -> Tensor:
        return own + exchange.swap(own)  # of two numbers: the same bits in both towers

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None  # both towers compute the same loss of the same sum


def joined(own: Tensor, exchange: Exchange) -> Tensor:
    """Both towers' maps or units side by side, (N, 2 C, ...), of one's own (N, C, ...)."""
    return _Joined.apply(own, exchange)


def summed(own: Tensor, exchange: Exchange) -> Tensor:
    """The sum of both towers' tensors, from which both compute the same."""
    return _Summed.apply(own, exchange)


class BothTowers(nn.Module):
    """What the next layer sees of both towers."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def forward(self, x: Tensor) -> Tensor:
        return joined(x, self.exchange)


class NormAcrossTowers(nn.Module):
    """LocalResponseNorm whose windows reach into the other tower, of which it fetches the kernels next to its own."""

    def __init__(self, norm: LocalResponseNorm, exchange: Exchange) -> None:
        super().__init__()
        self.norm, self.exchange = norm, exchange

    def forward(self, x: Tensor) -> Tensor:
        channels, first = x.shape[1], self.exchange.tower == 0
        near = min(self.norm.constants.size // 2, channels)
        if not near:
            return self.norm(x)
        edge = x[:, channels - near :] if first else x[:, :near]
        left, right = joined(edge, self.exchange).chunk(TOWERS, 1)
        seen = torch.cat([x, right] if first else [left, x], 1)
        return self.norm(seen).narrow(1, 0 if first else near, channels)


class DropoutOfTower(nn.Module):
    """This tower's half of what one process would drop: both draw the whole and each takes its own."""

    def __init__(self, dropout: nn.Module, tower: int) -> None:
        super().__init__()
        self.dropout, self.tower = dropout, tower

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.dropout(x)
        factors = self.dropout(x.new_ones(len(x), TOWERS * x.shape[1]))
        return x * factors.chunk(TOWERS, 1)[self.tower]


class SummedLinear(nn.Linear):
    """fc8 with the weights of this tower's units: its logits are both towers' sums and the bias, which both have."""

    def __init__(self, whole: nn.Linear, exchange: Exchange) -> None:
        super().__init__(whole.in_features // TOWERS, whole.out_features, device="meta")
        self.exchange = exchange
        self.weight = _own_parameter(whole.weight, 1, exchange.tower)
        self.bias = _own_parameter(whole.bias, None, exchange.tower)

    def forward(self, x: Tensor) -> Tensor:
        logits = summed(F.linear(x, self.weight), self.exchange)
        return logits + self.bias.to(logits.dtype)


def divided_along(name: str) -> int | None:
    """The dimension in which a parameter of the network is divided among the towers; None where each has all of it."""
    return {"fc8.weight": 1, "fc8.bias": None}.get(name, 0)


def own_part(whole: Tensor, dimension: int | None, tower: int) -> Tensor:
    """A copy of a tower's half of a tensor, or of all of it where it is not divided."""
    return (whole if dimension is None else whole.chunk(TOWERS, dimension)[tower]).clone()


def whole_of(own: Tensor, dimension: int | None, exchange: Exchange) -> Tensor:
    """The whole tensor of both towers' halves. Raises UserError where copies that must be equal are not."""
    parts = exchange.both(own)
    if dimension is None:
        if not torch.equal(*parts):
            raise UserError(
                "the two towers no longer have the same biases of fc8: their devices round differently; use two of a "
                "kind, or trainer=ddp"
            )
        return parts[0]
    whole = torch.cat(parts, dimension)
    last = own.dim() == 4 and own.is_contiguous(memory_format=torch.channels_last)
    return whole.to(memory_format=torch.channels_last) if last else whole


def exchange_of(network: nn.Module) -> Exchange | None:
    """What connects a network that is one tower with the other; None for networks that are whole."""
    return next((part.exchange for part in network.modules() if isinstance(part, SummedLinear)), None)


@torch.no_grad()
def keep_own_tower(network: AlexNet, exchange: Exchange) -> None:
    """Leave a network of two towers, initialized, with one of them, whose layers and parameters keep their names."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Sequential):
            setattr(network, name, nn.Sequential(OrderedDict(_own_layers(name, layer, exchange))))
    network.fc8 = SummedLinear(network.fc8, exchange)


def _own_layers(name: str, layer: nn.Sequential, exchange: Exchange) -> Iterator[tuple[str, nn.Module]]:
    sees_both = name != "conv1" and any(
        type(part) is nn.Linear or (isinstance(part, nn.Conv2d) and part.groups == 1) for part in layer
    )
    if sees_both:
        yield "both", BothTowers(exchange)
    whole = sees_both  # whether what comes next sees both towers' units
    for key, part in layer.named_children():
        if isinstance(part, (nn.Conv2d, nn.Linear, TowerLinear)):
            _keep_own_rows(part, exchange.tower)
            whole = False
        elif isinstance(part, (nn.Dropout, DropoutScaledAtTest)) and not whole:
            part = DropoutOfTower(part, exchange.tower)
        elif isinstance(part, LocalResponseNorm):
            across = part.constants.groups == 1
            part.constants = part.constants._replace(groups=1)
            part = NormAcrossTowers(part, exchange) if across else part
        yield key, part


def _keep_own_rows(layer: nn.Conv2d | nn.Linear | TowerLinear, tower: int) -> None:
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, _own_parameter(parameter, 0, tower))
    if isinstance(layer, nn.Conv2d):
        layer.in_channels, layer.out_channels, layer.groups = layer.weight.shape[1], len(layer.weight), 1
    elif isinstance(layer, nn.Linear):
        layer.out_features = len(layer.weight)
    else:
        layer.towers = 1


def _own_parameter(whole: Tensor, dimension: int | None, tower: int) -> nn.Parameter:
    return nn.Parameter(own_part(whole.detach(), dimension, tower), whole.requires_grad)
