"""The original program's normalization within each map, which the paper does not mention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SpatialNorm(nn.Module):
    """Divide each activation by (1 + alpha / size^2 * S)^beta, S summing squares over size x size neighbours.

    Input and output: (N, C, H, W). Neighbours lie in the same map; those beyond the edge count as 0.
    Source: layer type rnorm of the 2012 program, after conv2's LRN in run 145 (size 5, alpha 1e-3, beta 0.75).
    """

    def __init__(self, size: int = 5, alpha: float = 1e-3, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Tensor) -> Tensor:
        # The average over the whole window, edge included, is the sum over size^2: alpha's own divisor.
        mean_square = F.avg_pool2d(x * x, self.size, stride=1, padding=self.size // 2, count_include_pad=True)
        denominator = mean_square.mul_(self.alpha).add_(1.0)
        if self.beta == 0.75:
            root = denominator.rsqrt()  # x^-0.75 = x^-1/2 * x^-1/4: two square roots are far cheaper than a power
            return x * (root * root.sqrt())
        return x * denominator.pow(-self.beta)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}"
