"""Batches and their variation depend on (seed, epoch, sample), not on how many devices share the work."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from small_images import (
    CROP,
    EIGENVALUES,
    EIGENVECTORS,
    IMAGES,
    LABELS,
    MEAN,
    SIDE,
    augmentation,
    read,
    variation,
    views,
)

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import EvaluationBatches, TrainBatches
from alexnet_lab.data.buffers import Buffers
from alexnet_lab.data.placement import placed
from alexnet_lab.data.randomness import normal, uniform
from alexnet_lab.data.reader import Batch, ImageReader
from alexnet_lab.data.variation import Variation


def train_batches(images: object = IMAGES, workers: int = 0, **ranks: int) -> TrainBatches:
    reader = ImageReader(images, LABELS, variation(), workers=workers)
    return TrainBatches(reader, 16, seed=7, **ranks)


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_union_over_ranks_is_the_batch_of_one_device(ranks: int) -> None:
    shares = [train_batches(rank=rank, ranks=ranks) for rank in range(ranks)]
    alone = train_batches()
    for epoch in (0, 3):
        for batches in (*shares, alone):
            batches.sampler.set_epoch(epoch)
        for parts, whole in zip(zip(*shares, strict=True), alone, strict=True):
            assert torch.equal(torch.cat([part.samples for part in parts]), whole.samples)
            varied = torch.cat([augmentation()(part, epoch) for part in parts])
            assert torch.equal(varied, augmentation()(whole, epoch))


def test_an_epoch_sees_each_image_at_most_once_and_epochs_differ() -> None:
    batches = train_batches()
    first = torch.cat([batch.samples for batch in batches])
    batches.sampler.set_epoch(1)
    second = torch.cat([batch.samples for batch in batches])
    assert len(first) == len(set(first.tolist())) == 96
    assert not torch.equal(first, second)


def test_an_epoch_continues_where_a_checkpoint_was_written() -> None:
    """The state counts batches of the whole world, so four ranks may continue what one began."""
    begun = train_batches()
    begun.sampler.set_epoch(2)
    whole = [batch.samples for batch in begun]
    first = iter(begun)
    assert torch.equal(torch.stack([next(first).samples for _ in range(4)]), torch.stack(whole[:4]))
    state = begun.state_dict()
    assert state == {"epoch": 2, "batches": 4}

    ranks = [train_batches(rank=rank, ranks=4) for rank in range(4)]
    for batches in ranks:
        batches.load_state_dict(state)
        batches.sampler.set_epoch(2)
    rest = [torch.cat([part.samples for part in parts]) for parts in zip(*ranks, strict=True)]
    assert torch.equal(torch.stack(rest), torch.stack(whole[4:]))
    for batches in ranks:
        batches.sampler.set_epoch(3)
        assert len(list(batches)) == 6


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_are_the_same_bits_for_any_number_of_workers(workers: int) -> None:
    alone, many = train_batches(), train_batches(workers=workers)
    for epoch in (0, 1):
        alone.sampler.set_epoch(epoch)
        many.sampler.set_epoch(epoch)
        for one, other in zip(alone, many, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_the_network_sees_depends_neither_on_the_batch_nor_on_where_images_lie() -> None:
    """Crops out of a memory map, alone, and out of a store in the device's memory."""
    varied = augmentation()
    resident_images = placed(IMAGES, "device", torch.device("cpu"))
    assert isinstance(resident_images, torch.Tensor)
    for batch, resident in zip(train_batches(), train_batches(resident_images), strict=True):
        assert batch.images.shape == (16, CROP, CROP, 3)
        assert all(torch.equal(one, other) for one, other in zip(batch, resident, strict=True))
        assert resident.images.is_contiguous()
        seen = varied(batch, 0)
        for i in range(len(seen)):
            assert torch.equal(seen[i : i + 1], varied(batch.each(lambda tensor, i=i: tensor[i : i + 1]), 0))


def test_the_operations_of_a_gpu_give_the_bits_of_those_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = read(np.arange(100), epoch=3)
    on_processor = augmentation()(batch, 3).clone()
    monkeypatch.setattr(Augmentation, "_on_processor", Augmentation._on_device)
    assert torch.equal(augmentation()(batch, 3), on_processor)


def test_views_are_the_bits_of_earlier_versions() -> None:
    """Crops, mirror images and the mean; without the noise, whose logarithms are not the same on every machine."""
    seen = views(np.arange(100), epoch=3, color_noise=0.0)
    assert hashlib.sha256(seen.numpy().tobytes()).hexdigest().startswith("eddb0fb7f18c977d658ba1e6b1266c49")


def test_several_threads_give_the_bits_of_one() -> None:
    """Images of 224 pixels, which are shared among threads, also where nothing may be differentiated."""
    images = np.random.default_rng(2).integers(0, 256, (10, 256, 256, 3), dtype=np.uint8)
    batch = ImageReader(images, LABELS, Variation(256, 224, 5, random_crop=True, flip=True)).read(np.arange(10), 0)
    large = Augmentation(224, np.full((256, 256, 3), 99.5))
    threads = torch.get_num_threads()
    seen = []
    for number in (1, 3):
        torch.set_num_threads(number)
        with torch.inference_mode():
            seen.append(large(batch, 0))
        assert torch.get_num_threads() == number
    torch.set_num_threads(threads)
    assert torch.equal(*seen)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), SystemExit(1), MemoryError()])
def test_what_goes_wrong_in_a_thread_is_said_in_one_line(error: BaseException) -> None:
    class Failing:
        shape = IMAGES.shape

        def __getitem__(self, sample: int) -> np.ndarray:
            if sample == 30:
                raise error
            return IMAGES[sample]

    batches = train_batches(Failing(), workers=2)
    [number] = [number for number, batch in enumerate(train_batches()) if 30 in batch.samples]
    failing = iter(batches)
    for _ in range(number):
        next(failing)
    with pytest.raises(UserError, match=rf"batch {number} of epoch 0 could not be read: {type(error).__name__}"):
        next(failing)


def test_memory_is_used_again_but_never_while_somebody_holds_it() -> None:
    buffers = Buffers(np.uint8)
    first = buffers.take(4, 5)
    address, part = first.data_ptr(), first[1:2]
    del first
    assert buffers.take(4, 5).data_ptr() != address
    del part
    assert buffers.take(20).data_ptr() == address


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_memory_begins_with_a_line_of_the_cache(dtype: type) -> None:
    buffers = Buffers(dtype)
    held = [buffers.take(size) for size in (1, 3, 100, 5000)]
    assert [tensor.data_ptr() % 64 for tensor in held] == [0, 0, 0, 0]


def test_lightning_keeps_the_place_in_its_checkpoints(tmp_path: Path) -> None:
    whole, rest = Samples(tmp_path / "middle.ckpt"), Samples()
    fit(whole, None)
    fit(rest, tmp_path / "middle.ckpt")  # written after three batches of the second epoch of six
    assert rest.seen == whole.seen[9:]
    assert len(whole.seen) == 18


class Samples(lightning.LightningModule):
    """Learns nothing, and remembers which images it was shown."""

    def __init__(self, checkpoint: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[list[int]] = []
        self.checkpoint = checkpoint

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        self.seen.append(batch.samples.tolist())
        return self.weight * batch.images.float().mean()

    def on_train_batch_end(self, *_: object) -> None:
        if self.checkpoint is not None and self.global_step == 9:
            self.trainer.save_checkpoint(self.checkpoint)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(module: Samples, checkpoint: Path | None) -> None:
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, train_batches(), ckpt_path=checkpoint, weights_only=True)


def test_evaluation_counts_each_image_once_whatever_the_number_of_ranks() -> None:
    reader = ImageReader(IMAGES, LABELS)
    for ranks in (1, 2, 3, 7):
        seen = [batch.samples for rank in range(ranks) for batch in EvaluationBatches(reader, 16, rank, ranks)]
        assert sorted(torch.cat(seen).tolist()) == list(range(100))


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared equally"):
        TrainBatches(ImageReader(IMAGES, LABELS), 15, seed=0, ranks=2)


def test_crops_and_mirror_images_are_those_of_the_image() -> None:
    """Every view is found at one of the 8 x 8 offsets, as it is or mirrored; all occur about equally often."""
    images = np.tile(IMAGES[:4], (250, 1, 1, 1))
    reader = ImageReader(images, np.zeros(1000), variation(color_noise=0.0))
    seen = augmentation()(reader.read(np.arange(1000), 0), 0).permute(0, 2, 3, 1)
    centred = torch.from_numpy(images - MEAN)
    offsets, mirrored = [], 0
    for view, image in zip(seen, centred, strict=True):
        found = [
            (top, left, flip)
            for top in range(SIDE - CROP + 1)
            for left in range(SIDE - CROP + 1)
            for flip in (False, True)
            if torch.equal(view[:2], _view(image, top, left, flip)[:2])
        ]
        assert len(found) == 1
        offsets.append(found[0][:2])
        mirrored += found[0][2]
    counts = np.bincount([8 * top + left for top, left in offsets], minlength=64)
    assert ((counts - 1000 / 64) ** 2 / (1000 / 64)).sum() < 120  # chi squared, 63 degrees of freedom: p < 1e-5
    assert abs(mirrored - 500) < 5 * 250**0.5


def _view(image: torch.Tensor, top: int, left: int, flip: bool) -> torch.Tensor:
    view = image[top : top + CROP, left : left + CROP]
    return view.flip(1) if flip else view


def test_colour_noise_has_the_training_pixels_covariance_times_a_hundredth() -> None:
    _, _, _, shift = variation().draw(torch.arange(20000), 0)
    assert shift is not None
    changed = views(np.arange(100)) - views(np.arange(100), color_noise=0.0)
    assert torch.allclose(changed, shift[:100, :, None, None].expand_as(changed), atol=1e-3)
    covariance = np.cov(shift.double().numpy().T)
    expected = 0.01 * EIGENVECTORS @ np.diag(EIGENVALUES) @ EIGENVECTORS.T
    assert np.abs(covariance - expected).max() < 0.05 * np.abs(expected).max()


def test_colour_noise_ends_where_the_recipe_says() -> None:
    for epoch, ended in ((0, False), (66, False), (67, True), (90, True)):
        noisy, plain = views(np.arange(4), epoch), views(np.arange(4), epoch, color_noise=0.0)
        assert torch.equal(views(np.arange(4), epoch, color_noise_epochs=67), plain if ended else noisy)
        assert not torch.equal(noisy, plain)


def test_evaluation_sees_the_centre() -> None:
    view = augmentation()(ImageReader(IMAGES, LABELS, Variation(SIDE, CROP)).read(np.arange(2), 0), 0)
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
