"""The DataModule: from a configuration to batches, by way of the packed store."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning
from torch import Tensor

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import EvaluationBatches, TrainBatches
from alexnet_lab.data.comparison_transforms import ComparisonTransforms, Mixup
from alexnet_lab.data.compiled_views import compiled_views
from alexnet_lab.data.crops import Crops
from alexnet_lab.data.placement import place
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.reader import PictureReader
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store

log = logging.getLogger(__name__)

EVALUATION_BATCH = 256


class PictureData(lightning.LightningDataModule):
    """Training and validation batches of uint8 pictures, (N, H, H, 3), with labels and sample numbers."""

    store: Store
    batch_size: int

    def __init__(self, run: RunConfig) -> None:
        super().__init__()
        self.run = run

    def prepare_data(self) -> None:
        """Make the packed store if it is not there; of several processes one works and the others wait."""
        if hasattr(self, "store"):
            return
        data = self.run.data
        self.store = prepare_store(Path(data.store_root), make_source(data), data.packing, data.max_bad)
        pictures, ranks = len(self.store.labels("train")), self.run.trainer.devices * self.run.trainer.num_nodes
        if min(pictures, len(self.store.labels("val"))) < ranks:
            raise UserError(f"{self.store.path}: holds fewer pictures of a split than there are devices, {ranks}")
        # A collection smaller than one batch is one batch, equally shared.
        self.batch_size = min(self.run.optim.batch_size, pictures // ranks * ranks)
        if self.batch_size < self.run.optim.batch_size:
            log.info("batches of %d, because there are only %d training pictures", self.batch_size, pictures)

    @property
    def num_classes(self) -> int:
        return len(self.store.class_names)

    def augmentation(self) -> Augmentation:
        """The variation of training pictures that the configuration asks for."""
        data = self.run.data
        return Augmentation(
            self.run.model.input_size,
            self.store.pixel_mean,
            self.store.color_eigenvalues,
            self.store.color_eigenvectors,
            seed=self.run.seed,
            random_crop=data.random_crop,
            flip=data.flip,
            color_noise=data.color_noise,
            color_noise_epochs=round(self.run.optim.color_noise_until * self.run.trainer.max_epochs),
            comparison=self._comparison(),
        )

    def _comparison(self) -> ComparisonTransforms | None:
        data = self.run.data
        if not (data.random_resized_crop or data.color_jitter or data.random_erasing):
            return None
        return ComparisonTransforms(
            self.run.model.input_size,
            self.run.seed,
            random_resized_crop=data.random_resized_crop,
            color_jitter=data.color_jitter,
            random_erasing=data.random_erasing,
        )

    def mixup(self) -> Mixup | None:
        """The mixing of training pictures, where the configuration asks for it."""
        alpha = self.run.data.mixup
        return Mixup(alpha, self.num_classes, self.run.seed) if alpha else None

    def train_dataloader(self) -> TrainBatches:
        assert self.trainer is not None
        augmentation = self.augmentation()
        # Random resized crops are taken from whole pictures, later.
        crops = None if self.run.data.random_resized_crop else augmentation.crops
        reader = self._reader("train", crops)
        device, epochs = self.trainer.strategy.root_device, self.run.trainer.max_epochs
        reader.views = compiled_views(reader.images, augmentation, device, epochs)
        return TrainBatches(reader, self.batch_size, self.run.seed, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> EvaluationBatches:
        assert self.trainer is not None
        reader = self._reader("val", Crops(self.store.image_size, self.run.model.input_size))
        return EvaluationBatches(reader, EVALUATION_BATCH, self.trainer.global_rank, self.trainer.world_size)

    def _reader(self, split: str, crops: Crops | None) -> PictureReader:
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        images = place(self.store.images(split), self.run.data.placement, device)
        workers = 0 if isinstance(images, Tensor) else self.run.data.workers
        return PictureReader(images, self.store.labels(split), crops, workers=workers, pin=device.type == "cuda")
