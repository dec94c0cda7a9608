"""What a network's scores answer, against sorting them one image at a time."""

from __future__ import annotations

import math

import torch

from alexnet_lab.networks.answers import count_answers, is_among_first

CLASSES = 6
SCORES = torch.randint(0, 4, (200, CLASSES), generator=torch.Generator().manual_seed(0)).float()  # with many equal ones
LABELS = torch.arange(200) % CLASSES
ORDERS = [sorted(range(CLASSES), key=lambda number: (-row[number], number)) for row in SCORES.tolist()]


def test_the_first_answers_and_their_confusion_matrix() -> None:
    for count in (1, 5):
        right = [label in order[:count] for order, label in zip(ORDERS, LABELS.tolist(), strict=True)]
        assert is_among_first(SCORES, LABELS, count).tolist() == right

    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for part in (slice(0, 70), slice(70, 200)):
        count_answers(confusion, SCORES[part], LABELS[part])
    expected = torch.zeros_like(confusion)
    for order, label in zip(ORDERS, LABELS.tolist(), strict=True):
        expected[label, order[0]] += 1
    assert torch.equal(confusion, expected)
    assert int(confusion.trace()) == int(is_among_first(SCORES, LABELS, 1).sum())


def test_scores_that_are_no_numbers_are_never_right_and_the_lowest() -> None:
    scores = torch.tensor([[math.nan, math.nan], [math.nan, 1.0], [2.0, math.nan]])
    assert not is_among_first(scores, torch.tensor([0, 0, 1]), 1).any()

    confusion = torch.zeros(2, 2, dtype=torch.int64)
    count_answers(confusion, scores, torch.tensor([1, 1, 1]))
    assert confusion.tolist() == [[0, 0], [2, 1]]
