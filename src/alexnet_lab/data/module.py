"""The DataModule: from a configuration to batches, by way of the packed store."""

from __future__ import annotations

import logging
from pathlib import Path

import lightning

from alexnet_lab.config import RunConfig
from alexnet_lab.data.batches import EvaluationBatches, TrainBatches
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store
from alexnet_lab.errors import UserError

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
        self.store = prepare_store(Path(self.run.data.store_root), make_source(self.run.data))
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

    def train_dataloader(self) -> TrainBatches:
        assert self.trainer is not None
        return TrainBatches(
            self.store.images("train"),
            self.store.labels("train"),
            self.batch_size,
            self.run.seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )

    def val_dataloader(self) -> EvaluationBatches:
        assert self.trainer is not None
        return EvaluationBatches(
            self.store.images("val"),
            self.store.labels("val"),
            EVALUATION_BATCH,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
