"""Counts of right and wrong answers: they add up over batches and devices without rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from alexnet_lab.networks.answers import count_answers, is_among_first


class Counts:
    """confusion: int64 (C, C), images by true class (row) and first answer (column); top5: int64 (C,), images
    of a class with the true one among the first five answers.
    """

    def __init__(self, num_classes: int, device: torch.device | str = "cpu") -> None:
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
        self.top5 = torch.zeros(num_classes, dtype=torch.int64, device=device)

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        """Count the answers float (N, C) to images of classes int64 (N,)."""
        count_answers(self.confusion, probabilities, labels)
        self.top5.index_put_((labels,), is_among_first(probabilities, labels, 5).long(), accumulate=True)

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    @property
    def top1_error(self) -> float:
        """Fraction in [0, 1]."""
        return (self.images - int(self.confusion.trace())) / self.images

    @property
    def top5_error(self) -> float:
        """Fraction in [0, 1]."""
        return (self.images - int(self.top5.sum())) / self.images


def standard_error(error: float, images: int) -> float:
    """Of an error measured on this many images, drawn independently: sqrt(e (1 - e) / n)."""
    return math.sqrt(error * (1.0 - error) / images)
