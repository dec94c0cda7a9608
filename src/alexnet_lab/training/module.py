"""The network in training: loss, errors, optimizer."""

from __future__ import annotations

import logging
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from alexnet_lab.config import OptimizationConfig
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.batches import Batch
from alexnet_lab.training.recipe import for_lightning, make_optimizer, make_schedule, set_exceptions

log = logging.getLogger(__name__)


class Classifier(lightning.LightningModule):
    """A network, the augmentation that feeds it, and the recipe that trains it.

    Logs per epoch, over all devices: train_loss, train_top1_error, val_loss, val_top1_error and
    val_top5_error; errors are fractions in [0, 1]. Each validation picture is counted exactly once.
    """

    def __init__(
        self,
        network: nn.Module,
        augmentation: Augmentation,
        recipe: OptimizationConfig,
        num_classes: int,
        input_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network, self.augmentation, self.recipe, self.seed = network, augmentation, recipe, seed
        self.example_input_array = torch.zeros(1, 3, input_size, input_size)
        top5 = min(5, num_classes)
        self.train_loss = MeanMetric()
        self.train_top1 = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.val_loss = MeanMetric()
        self.val_top1 = MulticlassAccuracy(num_classes, average="micro", validate_args=False)
        self.val_top5 = MulticlassAccuracy(num_classes, top_k=top5, average="micro", validate_args=False)

    def on_fit_start(self) -> None:
        # Weights are the same on every rank; dropout is not. Lightning seeds all ranks alike just before this.
        torch.manual_seed(self.seed + self.global_rank * 2**32)
        log.info("rank %d draws dropout from seed %d", self.global_rank, torch.initial_seed())

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        optimizer: Any = self.trainer.optimizers[0]
        set_exceptions(optimizer, self.recipe, self.trainer.global_step, self.steps)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        logits = self.network(self.augmentation(batch.images, batch.samples, self.current_epoch))
        loss = F.cross_entropy(logits, batch.labels)
        self.train_loss.update(loss.detach(), len(batch.labels))
        self.train_top1.update(logits.detach(), batch.labels)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        logits = self.network(self.augmentation(batch.images, batch.samples, self.current_epoch))
        self.val_loss.update(F.cross_entropy(logits, batch.labels), len(batch.labels))
        self.val_top1.update(logits, batch.labels)
        self.val_top5.update(logits, batch.labels)

    def on_validation_epoch_end(self) -> None:
        # The values are summed over devices by the metrics themselves, from counts. Those of training are
        # logged here too: at the training epoch's own end callbacks would ask for them before they are there.
        self.log("train_loss", self.train_loss.compute())
        self.log("train_top1_error", 1.0 - self.train_top1.compute())
        self.log("val_loss", self.val_loss.compute())
        self.log("val_top1_error", 1.0 - self.val_top1.compute(), prog_bar=True)
        self.log("val_top5_error", 1.0 - self.val_top5.compute(), prog_bar=True)
        for metric in (self.train_loss, self.train_top1, self.val_loss, self.val_top1, self.val_top5):
            metric.reset()

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.recipe)
        self.steps = int(self.trainer.estimated_stepping_batches)
        return for_lightning(optimizer, make_schedule(optimizer, self.recipe, self.steps))
