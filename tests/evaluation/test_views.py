"""The ten views of section 4.1, and counts of what a network answers to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from alexnet_lab.evaluation.counts import Counts, standard_error
from alexnet_lab.evaluation.views import probabilities, views_of

SIDE, CROP, CLASSES = 13, 9, 7
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (6, SIDE, SIDE, 3), dtype=torch.uint8, generator=GENERATOR)
MEAN = torch.rand(SIDE, SIDE, 3, generator=GENERATOR) * 255


class Linear(nn.Module):
    """A network that looks at every pixel differently."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.001 * torch.randn(CLASSES, 3, CROP, CROP, generator=GENERATOR))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[1:] == (3, CROP, CROP)
        return torch.einsum("nchw,kchw->nk", x, self.weight)


def slow_ten_crop(network: Linear, image: torch.Tensor) -> np.ndarray:
    """Pixel by pixel, for one image, from the paper's words: four corners, the centre, their mirror images."""
    total = np.zeros(CLASSES)
    for top, left in ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)):
        for mirrored in (False, True):
            logits = np.zeros(CLASSES)
            for y in range(CROP):
                for x in range(CROP):
                    column = left + (CROP - 1 - x if mirrored else x)
                    for channel in range(3):
                        pixel = float(image[top + y, column, channel]) - float(MEAN[top + y, column, channel])
                        logits += network.weight[:, channel, y, x].detach().double().numpy() * pixel
            total += np.exp(logits) / np.exp(logits).sum()
    return total / 10


def test_ten_crop_equals_a_slow_loop() -> None:
    network = Linear()
    with torch.no_grad():
        fast = probabilities(network, IMAGES, MEAN, CROP, views_of("ten-crop", SIDE, CROP)).numpy()
        centre = probabilities(network, IMAGES, MEAN, CROP, views_of("centre", SIDE, CROP)).numpy()
    slow = np.stack([slow_ten_crop(network, image) for image in IMAGES])
    assert fast == pytest.approx(slow, rel=1e-4)
    assert np.abs(centre - slow).max() > 1e-3


def test_the_views_of_the_paper_are_five_places_and_their_mirror_images() -> None:
    views = views_of("ten-crop", 256, 224)
    assert [(view.top, view.left) for view in views[:5]] == [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    assert [view[:2] for view in views[5:]] == [view[:2] for view in views[:5]]
    assert [view.mirrored for view in views] == [False] * 5 + [True] * 5
    assert views_of("centre", 256, 224) == [(16, 16, False)]


def test_counts_are_those_of_a_loop_and_add_up_over_batches() -> None:
    answers = torch.rand(200, CLASSES, generator=GENERATOR)
    answers[::3] = answers[::3].round(decimals=1)  # ties
    answers[7] = 0.5
    labels = torch.randint(0, CLASSES, (200,), generator=GENERATOR)
    counts = Counts(CLASSES)
    for part in range(0, 200, 64):
        counts.add(answers[part : part + 64], labels[part : part + 64])

    confusion, in_five = np.zeros((CLASSES, CLASSES), int), np.zeros(CLASSES, int)
    for row, label in zip(answers.tolist(), labels.tolist(), strict=True):
        order = sorted(range(CLASSES), key=lambda k: (-row[k], k))
        confusion[label, order[0]] += 1
        in_five[label] += label in order[:5]
    assert np.array_equal(counts.confusion.numpy(), confusion)
    assert np.array_equal(counts.top5.numpy(), in_five)
    assert counts.top1_error == 1 - np.trace(confusion) / 200
    assert counts.top5_error == pytest.approx(1 - in_five.sum() / 200)


def test_the_standard_error_is_that_of_a_share() -> None:
    """Table 2's 40.7 % of 50,000 images is known to 0.22 points."""
    assert 100 * standard_error(0.407, 50_000) == pytest.approx(0.2197, abs=1e-4)
