"""The DataModule: from a configuration to batches, by way of the packed store."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import lightning
from torch import Tensor

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.epochs import epochs_of
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import EvaluationBatches, TrainBatches, limited
from alexnet_lab.data.extra_augmentations import ExtraAugmentations, Mixup
from alexnet_lab.data.own_transforms import own_transforms
from alexnet_lab.data.placement import placed
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.reader import ImageReader
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store
from alexnet_lab.data.variation import Variation, color_axes

log = logging.getLogger(__name__)

EVALUATION_BATCH = 256


def share_of_batch(trainer: lightning.Trainer) -> tuple[int, int]:
    """Which share of each batch this process computes, from 0, and how many there are."""
    shares = trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
    return shares["rank"], shares["num_replicas"]


class ImageData(lightning.LightningDataModule):
    """Training and validation batches of uint8 images, with labels, sample numbers and what was drawn for each."""

    store: Store
    batch_size: int
    batches: int  # of an epoch
    epochs: int  # that the run begins
    limits: list[str]  # the settings by which the run sees a part of the data alone

    def __init__(self, run: RunConfig) -> None:
        super().__init__()
        self.run = run

    def prepare_data(self) -> None:
        """Make the packed store if it is not there; of several processes one works and the others wait."""
        if hasattr(self, "store"):
            return
        data = self.run.data
        self.store = prepare_store(Path(data.store_root), make_source(data), data.packing, data.max_bad)
        images, shares = len(self.store.labels("train")), self.run.trainer.shares
        if min(images, len(self.store.labels("val"))) < shares:
            raise UserError(f"{self.store.path}: holds fewer images of a split than there are devices, {shares}")
        # A collection smaller than one batch is one batch, equally shared.
        self.batch_size = min(self.run.optim.batch_size, images // shares * shares)
        if self.batch_size < self.run.optim.batch_size:
            log.info("batches of %d, because there are only %d training images", self.batch_size, images)
        trainer = self.run.trainer
        self.batches = limited(images // self.batch_size, trainer.overfit_batches or trainer.limit_train_batches)
        steps = math.ceil(self.batches / trainer.accumulate_grad_batches)
        self.epochs = epochs_of(trainer.max_epochs, trainer.max_steps, steps)
        self.limits = [
            limit
            for limit in trainer.limits()
            if not limit.startswith("trainer.max_steps=") or (trainer.max_steps or 0) < trainer.max_epochs * steps
        ]

    def setup(self, stage: str) -> None:
        self.prepare_data()  # which another trainer than ours calls in one process of a machine alone

    @property
    def num_classes(self) -> int:
        return len(self.store.class_names)

    @property
    def color_axes(self) -> Tensor:
        return color_axes(self.store.color_eigenvalues, self.store.color_eigenvectors)

    def augmentation(self) -> Augmentation:
        """What applies the variation that the loaders draw, and the other transforms that are configured."""
        return Augmentation(self.run.model.input_size, self.store.pixel_mean, self._extra_augmentations())

    def _variation(self) -> Variation:
        """Of the training images, as the configuration asks for it."""
        data, side = self.run.data, self.store.image_size
        whole = data.random_resized_crop  # which the augmentation takes
        return Variation(
            side,
            side if whole else self.run.model.input_size,
            self.run.seed,
            random_crop=data.random_crop,
            flip=data.flip,
            color_noise=data.color_noise,
            color_noise_epochs=round(self.run.optim.color_noise_until * self.epochs),
            color_axes=self.color_axes,
        )

    def _extra_augmentations(self) -> ExtraAugmentations | None:
        data, own = self.run.data, own_transforms(self.run)
        if not (data.random_resized_crop or data.color_jitter or data.random_erasing or own):
            return None
        return ExtraAugmentations(
            self.run.model.input_size,
            self.run.seed,
            random_resized_crop=data.random_resized_crop,
            color_jitter=data.color_jitter,
            random_erasing=data.random_erasing,
            own=own,
        )

    def mixup(self) -> Mixup | None:
        """The mixing of training images, where the configuration asks for it."""
        alpha = self.run.data.mixup
        return Mixup(alpha, self.num_classes, self.run.seed) if alpha else None

    def train_dataloader(self) -> TrainBatches:
        assert self.trainer is not None
        share, shares = share_of_batch(self.trainer)
        reader = self._reader("train", self._variation())
        return TrainBatches(
            reader,
            self.batch_size,
            self.run.seed,
            share,
            shares,
            batches=self.batches,
            same_each_epoch=bool(self.run.trainer.overfit_batches),
        )

    def val_dataloader(self) -> EvaluationBatches:
        assert self.trainer is not None
        share, shares = share_of_batch(self.trainer)
        reader = self._reader("val", Variation(self.store.image_size, self.run.model.input_size))
        choice = self.run.trainer
        limit = choice.overfit_batches or choice.limit_val_batches
        return EvaluationBatches(reader, EVALUATION_BATCH, share, shares, limit)

    def test_dataloader(self) -> EvaluationBatches:
        """The validation images: nothing here has others."""
        return self.val_dataloader()

    def predict_dataloader(self) -> EvaluationBatches:
        return self.val_dataloader()

    def _reader(self, split: str, variation: Variation) -> ImageReader:
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        images = placed(self.store.images(split), self.run.data.placement, device)
        workers = 0 if isinstance(images, Tensor) else self.run.data.workers
        return ImageReader(images, self.store.labels(split), variation, workers=workers, pin=device.type == "cuda")
