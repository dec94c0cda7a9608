"""Which answers of a network are right, for the errors of training and of an evaluation."""

from __future__ import annotations

import torch
from torch import Tensor


def is_among_first(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """bool (N,): whether the class int64 (N,) has one of the `count` highest scores float (N, C).

    Of equal scores that of the lower class number is higher; scores that are no numbers are never right.
    """
    truth = scores.gather(1, labels[:, None])
    numbers = torch.arange(scores.shape[1], device=labels.device)
    ahead = ~(scores <= truth) | ((scores == truth) & (numbers < labels[:, None]))
    return ahead.sum(1) < count
