"""What a network's scores answer, and whether that is right: for training, evaluations and trackers alike.

Of equal scores that of the lower class number is higher.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_among_first(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """bool (N,): whether the class int64 (N,) has one of the `count` highest scores float (N, C).

    Scores that are no numbers are never right.
    """
    truth = scores.gather(1, labels[:, None])
    numbers = torch.arange(scores.shape[1], device=labels.device)
    ahead = ~(scores <= truth) | ((scores == truth) & (numbers < labels[:, None]))
    return ahead.sum(1) < count


def count_answers(confusion: Tensor, scores: Tensor, labels: Tensor) -> None:
    """Add the first answers in scores float (N, C) to images of classes int64 (N,) to a confusion matrix.

    confusion: int64 (C, C), images by true class (row) and answer (column). Scores that are no numbers are the lowest.
    """
    scores = torch.where(scores.isnan(), -torch.inf, scores)
    numbers = torch.arange(scores.shape[1], device=labels.device)
    highest = scores == scores.max(1, keepdim=True).values
    answers = torch.where(highest, numbers, len(numbers)).min(1).values
    confusion.index_put_((labels, answers), torch.ones_like(labels), accumulate=True)
