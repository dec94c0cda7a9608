"""Compiled code varies pictures as PyTorch's operations do, to the last bit."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pictures import CROP, IMAGES, LABELS, MEAN, SIDE, augmentation

from alexnet_lab.data import compiled_views
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import TrainBatches
from alexnet_lab.data.comparison_transforms import ComparisonTransforms
from alexnet_lab.data.compiled_views import CompiledViews
from alexnet_lab.data.reader import PictureReader

PROCESSOR = torch.device("cpu")


def compiled(augmentation: Augmentation, images: np.ndarray = IMAGES) -> CompiledViews:
    pytest.importorskip("numba")
    return CompiledViews(images, augmentation)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("random_crop", [True, False])
@pytest.mark.parametrize("color_noise", [0.1, 0.0])
def test_views_are_the_bits_of_pytorchs_operations(flip: bool, random_crop: bool, color_noise: float) -> None:
    varied = augmentation(flip=flip, random_crop=random_crop, color_noise=color_noise, color_noise_epochs=4)
    views, samples = compiled(varied), torch.randperm(100, generator=torch.Generator().manual_seed(0))
    for epoch in (0, 3, 4):
        expected = varied(torch.from_numpy(IMAGES)[samples], samples, epoch)
        seen = views(samples, epoch)
        assert same_bits(seen, expected)
        assert (seen.shape, seen.stride()) == (expected.shape, expected.stride())
        assert varied(seen, samples, epoch) is seen  # there is nothing left to do for the network


@pytest.mark.parametrize("unaligned", [0, 1, 7])
@pytest.mark.parametrize("crop", [1, 5, 15, 16, 17, 31, 32, 33, 39, 40])
def test_crops_of_any_size_are_written_anywhere_in_memory_and_nothing_beside_them(
    crop: int, unaligned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are of 16 pixels, and stores that fill whole lines of the cache are of another kind than others."""
    varied = augmentation(crop)
    views, samples = compiled(varied), torch.arange(100)
    assert set(varied.variation(samples, 0)[2].tolist()) == {0, 1}  # mirrored and not
    size = 100 * crop * crop * 3
    memory = torch.full((size + 48,), torch.nan)
    first = -memory.data_ptr() % 64 // 4 + unaligned
    monkeypatch.setattr(views._memory, "take", lambda *shape: memory[first : first + size].view(shape))
    assert same_bits(views(samples, 0), varied(torch.from_numpy(IMAGES), samples, 0))
    assert memory[:first].isnan().all()
    assert memory[first + size :].isnan().all()


def test_evaluation_sees_the_centre() -> None:
    expected = (IMAGES.astype(np.float32) - MEAN)[:, 3:36, 3:36].transpose(0, 3, 1, 2)
    assert np.array_equal(compiled(augmentation().eval())(torch.arange(100), 0).numpy(), expected)


@pytest.mark.parametrize("crop", [32, 33])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_out_of_a_memory_map_are_the_same_for_any_number_of_workers(
    workers: int, crop: int, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    stored, varied = np.load(tmp_path / "images.npy", mmap_mode="r"), augmentation(crop)
    plain = TrainBatches(PictureReader(IMAGES, LABELS, varied.crops), 16, seed=7)
    reader = PictureReader(stored, LABELS, varied.crops, workers=workers, views=compiled(varied, stored))
    for batch, expected in zip(TrainBatches(reader, 16, seed=7), plain, strict=True):
        assert same_bits(batch.images, varied(expected.images, expected.samples, 0))
        assert torch.equal(batch.labels, expected.labels)
        assert torch.equal(batch.samples, expected.samples)


def test_pictures_beyond_the_collection_are_refused() -> None:
    for sample in (-1, 100):
        with pytest.raises(IndexError, match=f"pictures {sample} to {sample} of 100"):
            compiled(augmentation())(torch.tensor([sample]), 0)


def test_the_log_says_which_it_is_and_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def said(images: object = IMAGES, device: torch.device = PROCESSOR, **options: object) -> str:
        caplog.clear()
        assert compiled_views.compiled_views(images, augmentation(**options), device, 2) is None
        return caplog.text.rstrip()

    assert said().endswith("by PyTorch's operations: the run is small")
    large = np.broadcast_to(IMAGES[:1], (100_000, SIDE, SIDE, 3))
    comparison = ComparisonTransforms(CROP, 5, color_jitter=0.4)
    assert said(large, torch.device("cuda")) == ""
    assert said(torch.from_numpy(IMAGES)).endswith("the pictures are in no memory map")
    assert said(large, comparison=comparison).endswith("it is not the paper's variation alone")
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled_views._kernel.cache_clear()
    assert said(large).endswith("by PyTorch's operations: Numba is not installed")
    monkeypatch.undo()
    compiled_views._kernel.cache_clear()


def test_a_large_run_is_varied_by_compiled_code(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("numba")
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(compiled_views, "_WORTH_COMPILING", 3 * 100 * 12 * CROP**2)
    assert compiled_views.compiled_views(IMAGES, augmentation(), PROCESSOR, 2) is None
    assert isinstance(compiled_views.compiled_views(IMAGES, augmentation(), PROCESSOR, 3), CompiledViews)
    assert "varied by code that Numba compiled" in caplog.text
