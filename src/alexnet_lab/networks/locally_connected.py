"""A layer of kernels that each look at one place of their input, and share no weights with other places."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocallyConnected2d(nn.Module):
    """A convolution with a kernel of its own, and a bias, for each position of its output; stride 1.

    Input (N, in_channels, side, side), output (N, out_channels, side, side): padding keeps the side.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, side: int) -> None:
        super().__init__()
        self.kernel_size, self.side = kernel_size, side
        self.weight = nn.Parameter(torch.empty(side * side, out_channels, in_channels * kernel_size**2))
        self.bias = nn.Parameter(torch.empty(side * side, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        seen = F.unfold(x, self.kernel_size, padding=self.kernel_size // 2)  # (N, in_channels k k, side side)
        # A product of matrices a position: (P, N, seen) times (P, seen, out).
        found = torch.baddbmm(self.bias[:, None], seen.permute(2, 0, 1), self.weight.transpose(1, 2))
        return found.permute(1, 2, 0).reshape(len(x), -1, self.side, self.side)

    def extra_repr(self) -> str:
        places, out, seen = self.weight.shape
        return f"{seen // self.kernel_size**2}, {out}, kernel_size={self.kernel_size}, positions={places}"
