"""Collects what the network says of the validation images, now and then, for the tracker to draw."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from alexnet_lab.networks.answers import count_answers
from alexnet_lab.networks.towers import TOWERS, exchange_of, whole_of
from alexnet_lab.tracking.images import Predictions

log = logging.getLogger(__name__)

PANELS, MISTAKES = 8, 24

Show = Callable[[int, Predictions], None]


def is_due(epoch: int, last: int) -> bool:
    """After epochs 1, 2, 4, 8, ... and the last: early ones change most, and long runs make few images."""
    return epoch & (epoch - 1) == 0 or epoch == last


class PredictionImages(Callback):
    """What kernels, confusion matrix, top-5 panels and mistakes are drawn from, for show(step, it) on rank zero.

    The matrix counts the whole validation set; panels and mistakes are of rank zero's share. Drawing them takes
    longer than a hundred small training steps, so that is left to who shows them.
    """

    def __init__(self, show: Show) -> None:
        self.show = show
        self._hook: torch.utils.hooks.RemovableHandle | None = None
        self._logits: Tensor | None = None
        self._seen: list[tuple[np.ndarray, ...]] = []
        self._confusion: Tensor | None = None

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or not is_due(trainer.current_epoch + 1, trainer.max_epochs or 0):
            return
        self._seen, self._confusion = [], None
        network: Any = pl_module.network
        self._hook = network.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self._logits = output.detach()

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._hook is None or self._logits is None:
            return
        number = self._logits.shape[1]
        if self._confusion is None:
            self._confusion = batch.labels.new_zeros(number, number)
        count_answers(self._confusion, self._logits, batch.labels)
        probabilities, classes = self._logits.float().softmax(1).topk(min(5, number))
        seen = (batch.samples, batch.labels, classes, probabilities)
        self._seen.append(tuple(tensor.cpu().numpy() for tensor in seen))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = self._logits = None
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        names = data.store.class_names
        samples, labels, classes, probabilities = (np.concatenate(each) for each in zip(*self._seen, strict=True))
        self._seen = []
        confusion: Any = trainer.strategy.reduce(self._confusion, reduce_op="sum")
        kernels, towers = _conv1(pl_module)
        if not trainer.is_global_zero:
            return
        spread, surest = spread_over_classes(labels), surest_mistakes(labels, classes, probabilities)
        shown = np.concatenate([spread, surest])
        try:
            images = data.store.images("val")[samples[shown]]
        except (OSError, ValueError) as error:  # such as a disk that is gone
            log.warning("there are no images for the tracker (%s)", error)
            return
        predictions = Predictions(
            after=f"after epoch {trainer.current_epoch + 1}",
            names=names,
            counts=confusion.cpu().numpy(),
            panels=len(spread),
            images=np.asarray(images),
            labels=labels[shown],
            classes=classes[shown],
            probabilities=probabilities[shown],
            kernels=kernels,
            towers=towers,
        )
        self.show(trainer.global_step, predictions)


def spread_over_classes(labels: np.ndarray) -> np.ndarray:
    """Positions of a few images of classes as different as there are, the same after every epoch."""
    by_class = np.argsort(labels, kind="stable")
    return by_class[np.unique(np.linspace(0, len(by_class) - 1, PANELS).round().astype(int))]


def surest_mistakes(labels: np.ndarray, classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Positions of the misclassified images with the most probable wrong classes, surest first."""
    wrong = np.flatnonzero(classes[:, 0] != labels)
    return wrong[np.argsort(-probabilities[wrong, 0], kind="stable")][:MISTAKES]


def _conv1(module: Any) -> tuple[np.ndarray, int]:
    """conv1's weights and in how many towers they are; none for networks that the paper does not name so. Where this
    process has one tower, those of the other are fetched.
    """
    exchange = exchange_of(module.network)
    for name, layer in module.network.named_modules():
        if "conv1" in name.split(".") and isinstance(layer, nn.Conv2d) and layer.in_channels == 3:
            conv2 = getattr(module.network, "conv2", None)
            if exchange is not None:
                return whole_of(layer.weight, 0, exchange).float().cpu().numpy(), TOWERS
            groups = [part.groups for part in conv2.modules() if isinstance(part, nn.Conv2d)] if conv2 else []
            return layer.weight.detach().float().cpu().numpy(), groups[0] if groups else 1
    return np.zeros((0, 3, 1, 1), np.float32), 1
