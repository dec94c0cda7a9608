"""Younger augmentations beside the paper's own: what they do, and that each image's depends on itself alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.extra_augmentations import ExtraAugmentations, Mixup
from alexnet_lab.data.reader import Batch, ImageReader
from alexnet_lab.data.variation import Variation
from conftest import Program

SIDE, CROP, NUMBER = 40, 33, 24
IMAGES = np.random.default_rng(0).integers(0, 256, (NUMBER, SIDE, SIDE, 3), dtype=np.uint8)
MEAN = np.full((SIDE, SIDE, 3), 120, dtype=np.float32)


def augmentation(**chosen: object) -> Augmentation:
    """The paper's variation off, these transforms on."""
    return Augmentation(CROP, MEAN, ExtraAugmentations(CROP, 5, **chosen))


def batch(crop: int = CROP) -> Batch:
    return ImageReader(IMAGES, np.zeros(NUMBER), Variation(SIDE, crop)).read(np.arange(NUMBER), 0)


def plain() -> torch.Tensor:
    return torch.from_numpy(IMAGES[:, 3:36, 3:36]).permute(0, 3, 1, 2).float() - 120


@pytest.mark.parametrize("chosen", [{"random_resized_crop": True}, {"color_jitter": 0.4}, {"random_erasing": 0.5}])
def test_each_image_is_varied_by_seed_epoch_and_sample_alone(chosen: dict[str, object]) -> None:
    varied, whole = augmentation(**chosen), batch(SIDE if "random_resized_crop" in chosen else CROP)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    seen = varied(whole, 2)
    assert torch.equal(torch.get_rng_state(), state)  # dropout does not notice
    assert seen.shape == (NUMBER, 3, CROP, CROP)
    torch.manual_seed(4)
    parts = [varied(whole.each(lambda tensor, i=i: tensor[i : i + 5]), 2) for i in range(0, NUMBER, 5)]
    assert torch.equal(torch.cat(parts), seen)
    assert not torch.equal(varied(whole, 3), seen)
    assert not torch.equal(seen, plain())
    assert torch.equal(varied.eval()(batch(), 2), plain())


def test_colour_jitter_changes_the_brightness_of_the_crop() -> None:
    brightness = (augmentation(color_jitter=0.4)(batch(), 0) + 120).mean((1, 2, 3)) / (plain() + 120).mean((1, 2, 3))
    assert 0.55 < brightness.min() < 0.85 < 1.1 < brightness.max() < 1.45


def test_random_erasing_leaves_the_mean_colour_in_a_rectangle_of_some_images() -> None:
    erased = (augmentation(random_erasing=0.5)(batch(), 0) != plain()).any(1)
    shares = erased.float().mean((1, 2))
    some = shares > 0
    assert 4 <= some.sum() <= 20  # of 24, half are expected
    assert shares[some].min() > 0.015
    assert shares.max() < 0.34
    assert (augmentation(random_erasing=0.5)(batch(), 0).permute(0, 2, 3, 1)[erased] == 0).all()


def test_mixup_mixes_images_and_labels_in_the_same_share() -> None:
    mixup = Mixup(0.2, 7, seed=5)
    views, labels = torch.randn(8, 3, 4, 4), torch.tensor([0, 1, 2, 3, 4, 5, 6, 0])
    mixed, targets = mixup(views, labels, torch.arange(8), 1)
    share = float(targets[1, 1])
    assert 0 < share < 1
    assert targets.sum(1).tolist() == pytest.approx([1] * 8)
    assert torch.allclose(mixed, share * views + (1 - share) * views.roll(1, 0), atol=1e-6)
    again = mixup(views, labels, torch.arange(8), 1)
    assert torch.equal(again[0], mixed)
    assert not torch.equal(mixup(views, labels, torch.arange(8), 2)[0], mixed)


def test_a_run_trains_with_all_of_them(program: Program, small: tuple[str, ...]) -> None:
    chosen = ("data.random_resized_crop=true", "data.color_jitter=0.4", "data.random_erasing=0.25", "data.mixup=0.2")
    answer = program("train.py", *small, *chosen)
    assert answer.returncode == 0, answer.stderr
    refused = program("train.py", *small, "data.mixup=-1")
    assert refused.returncode == 2
    assert "data.mixup=-1" in refused.stderr
