"""Batches and their variation depend on (seed, epoch, sample), not on how many devices share the work."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import EvaluationBatches, TrainBatches
from alexnet_lab.data.randomness import normal, uniform

SIDE, CROP = 40, 33
IMAGES = np.random.default_rng(0).integers(0, 256, (100, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(100) % 10
MEAN = IMAGES.mean(axis=0, dtype=np.float64).astype(np.float32)
EIGENVALUES = np.array([900.0, 400.0, 100.0])
EIGENVECTORS = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def augmentation(**knobs: object) -> Augmentation:
    return Augmentation(CROP, MEAN, EIGENVALUES, EIGENVECTORS, seed=5, **knobs)


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_union_over_ranks_is_the_batch_of_one_device(ranks: int) -> None:
    shares = [TrainBatches(IMAGES, LABELS, 16, seed=7, rank=rank, ranks=ranks) for rank in range(ranks)]
    alone = TrainBatches(IMAGES, LABELS, 16, seed=7)
    for epoch in (0, 3):
        for batches in (*shares, alone):
            batches.sampler.set_epoch(epoch)
        for parts, whole in zip(zip(*shares, strict=True), alone, strict=True):
            assert torch.equal(torch.cat([part.samples for part in parts]), whole.samples)
            varied = torch.cat([augmentation()(part.images, part.samples, epoch) for part in parts])
            assert torch.equal(varied, augmentation()(whole.images, whole.samples, epoch))


def test_an_epoch_sees_each_picture_at_most_once_and_epochs_differ() -> None:
    batches = TrainBatches(IMAGES, LABELS, 16, seed=7)
    first = torch.cat([batch.samples for batch in batches])
    batches.sampler.set_epoch(1)
    second = torch.cat([batch.samples for batch in batches])
    assert len(first) == len(set(first.tolist())) == 96
    assert not torch.equal(first, second)


def test_evaluation_counts_each_picture_once_whatever_the_number_of_ranks() -> None:
    for ranks in (1, 2, 3, 7):
        seen = [batch.samples for rank in range(ranks) for batch in EvaluationBatches(IMAGES, LABELS, 16, rank, ranks)]
        assert sorted(torch.cat(seen).tolist()) == list(range(100))


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared equally"):
        TrainBatches(IMAGES, LABELS, 15, seed=0, ranks=2)


def test_crops_and_mirror_images_are_those_of_the_picture() -> None:
    """Every view is found at one of the 8 x 8 offsets, as it is or mirrored; all occur about equally often."""
    pictures, samples = torch.from_numpy(IMAGES[:4]).repeat(250, 1, 1, 1), torch.arange(1000)
    views = augmentation(color_noise=0.0)(pictures, samples, 0).permute(0, 2, 3, 1)
    centred = pictures.float() - torch.from_numpy(MEAN)
    offsets, mirrored = [], 0
    for view, picture in zip(views, centred, strict=True):
        found = [
            (top, left, flip)
            for top in range(SIDE - CROP + 1)
            for left in range(SIDE - CROP + 1)
            for flip in (False, True)
            if torch.equal(view[:2], _view(picture, top, left, flip)[:2])
        ]
        assert len(found) == 1
        offsets.append(found[0][:2])
        mirrored += found[0][2]
    counts = np.bincount([8 * top + left for top, left in offsets], minlength=64)
    assert ((counts - 1000 / 64) ** 2 / (1000 / 64)).sum() < 120  # chi squared, 63 degrees of freedom: p < 1e-5
    assert abs(mirrored - 500) < 5 * 250**0.5


def _view(picture: torch.Tensor, top: int, left: int, flip: bool) -> torch.Tensor:
    view = picture[top : top + CROP, left : left + CROP]
    return view.flip(1) if flip else view


def test_colour_noise_has_the_training_pixels_covariance_times_a_hundredth() -> None:
    pictures, samples = torch.from_numpy(IMAGES[:1]).repeat(20000, 1, 1, 1)[:, :CROP, :CROP], torch.arange(20000)
    noise = Augmentation(CROP, MEAN[:CROP, :CROP], EIGENVALUES, EIGENVECTORS, seed=5, flip=False)
    plain = Augmentation(CROP, MEAN[:CROP, :CROP], EIGENVALUES, EIGENVECTORS, seed=5, flip=False, color_noise=0.0)
    shift = noise(pictures[:, :, :], samples, 0) - plain(pictures[:, :, :], samples, 0)
    assert torch.allclose(shift, shift[:, :, :1, :1].expand_as(shift), atol=1e-3)  # one shift a picture
    covariance = np.cov(shift[:, :, 0, 0].double().numpy().T)
    expected = 0.01 * EIGENVECTORS @ np.diag(EIGENVALUES) @ EIGENVECTORS.T
    assert np.abs(covariance - expected).max() < 0.05 * np.abs(expected).max()


def test_colour_noise_ends_where_the_recipe_says() -> None:
    noisy, ending, plain = (augmentation(**knobs) for knobs in ({}, {"color_noise_epochs": 67}, {"color_noise": 0.0}))
    pictures, samples = torch.from_numpy(IMAGES[:4]), torch.arange(4)
    for epoch, other in ((0, noisy), (66, noisy), (67, plain), (90, plain)):
        assert torch.equal(ending(pictures, samples, epoch), other(pictures, samples, epoch))
        assert not torch.equal(noisy(pictures, samples, epoch), plain(pictures, samples, epoch))


def test_evaluation_sees_the_centre() -> None:
    view = augmentation().eval()(torch.from_numpy(IMAGES[:2]), torch.arange(2), 0)
    expected = (IMAGES[:2].astype(np.float32) - MEAN)[:, 3:36, 3:36].transpose(0, 3, 1, 2)
    assert np.array_equal(view.numpy(), expected)


def test_random_numbers_are_uniform_normal_and_independent_of_the_batch() -> None:
    samples = torch.arange(50_000)
    numbers = uniform(3, 2, samples, 4)
    assert 0 <= numbers.min() < numbers.max() < 1
    assert torch.equal(numbers[123:124], uniform(3, 2, torch.tensor([123]), 4))
    assert not torch.equal(numbers[:, 0], uniform(3, 1, samples, 4)[:, 0])
    assert not torch.equal(numbers[:, 0], uniform(4, 2, samples, 4)[:, 0])
    assert (numbers.mean(0) - 0.5).abs().max() < 0.01
    assert (torch.corrcoef(numbers.T) - torch.eye(4)).abs().max() < 0.03
    bells = normal(numbers)
    assert bells.mean().abs() < 0.01
    assert (bells.std() - 1).abs() < 0.01
