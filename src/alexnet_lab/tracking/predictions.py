"""Collects what the network says of the validation pictures, now and then, and has it drawn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from alexnet_lab.tracking import pictures
from alexnet_lab.tracking.pictures import Guess, Picture

log = logging.getLogger(__name__)

PANELS, MISTAKES = 8, 24

Show = Callable[[int, list[Picture]], None]


def is_due(epoch: int, last: int) -> bool:
    """After epochs 1, 2, 4, 8, ... and the last: early ones change most, and long runs make few pictures."""
    return epoch & (epoch - 1) == 0 or epoch == last


class PredictionPictures(Callback):
    """Kernels, confusion matrix, top-5 panels and mistakes, for show(step, pictures) on rank zero.

    The matrix counts the whole validation set; panels and mistakes are of rank zero's share.
    """

    def __init__(self, show: Show) -> None:
        self.show = show
        self._hook: torch.utils.hooks.RemovableHandle | None = None
        self._logits: Tensor | None = None
        self._seen: list[tuple[np.ndarray, ...]] = []

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or not is_due(trainer.current_epoch + 1, trainer.max_epochs or 0):
            return
        self._seen = []
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
        probabilities, classes = self._logits.float().softmax(1).topk(min(5, self._logits.shape[1]))
        told = (batch.samples, batch.labels, classes, probabilities)
        self._seen.append(tuple(tensor.cpu().numpy() for tensor in told))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = self._logits = None
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        names = data.store.class_names
        samples, labels, classes, probabilities = (np.concatenate(each) for each in zip(*self._seen, strict=True))
        self._seen = []
        flat = np.bincount(labels * len(names) + classes[:, 0], minlength=len(names) ** 2)
        total: Any = trainer.strategy.reduce(torch.from_numpy(flat).to(pl_module.device), reduce_op="sum")
        if not trainer.is_global_zero:
            return
        seen = Seen(samples, labels, classes, probabilities)
        counts = total.cpu().numpy().reshape(len(names), len(names))
        after = f"after epoch {trainer.current_epoch + 1}"
        try:
            drawn = draw(seen, counts, names, data.store.images("val"), after)
            if (first := _conv1(pl_module)) is not None:
                drawn.append(pictures.kernels(*first, caption=f"conv1 kernels {after}, a block a tower"))
        except (OSError, ValueError) as error:  # such as a disk that is gone, or letters that the font cannot draw
            log.warning("the pictures for the tracker could not be drawn (%s)", error)
            return
        self.show(trainer.global_step, drawn)


class Seen(NamedTuple):
    """Of N pictures: number in the split and true class, (N,); most probable classes and probabilities, (N, 5)."""

    samples: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    probabilities: np.ndarray


def draw(seen: Seen, counts: np.ndarray, names: list[str], images: Any, after: str) -> list[Picture]:
    """The pictures of predictions; counts (K, K) by true and predicted class."""

    def guesses(places: np.ndarray) -> list[Guess]:
        return [
            Guess(image, names[seen.labels[i]], [names[j] for j in seen.classes[i]], seen.probabilities[i].tolist())
            for image, i in zip(images[seen.samples[places]], places, strict=True)
        ]

    by_class = np.argsort(seen.labels, kind="stable")
    spread = by_class[np.unique(np.linspace(0, len(by_class) - 1, PANELS).round().astype(int))]
    wrong = np.flatnonzero(seen.classes[:, 0] != seen.labels)
    surest = wrong[np.argsort(-seen.probabilities[wrong, 0], kind="stable")][:MISTAKES]
    right = f"{np.trace(counts)} of {counts.sum()} right"
    return [
        pictures.confusion_matrix(counts, names, f"confusion matrix {after}: {right}"),
        pictures.top5_panels(guesses(spread), f"five most probable classes {after}"),
        pictures.misclassified(guesses(surest), f"surest mistakes {after}"),
    ]


def _conv1(module: Any) -> tuple[np.ndarray, int] | None:
    """conv1's weights and in how many towers they are; None for networks that the paper does not name so."""
    for name, layer in module.network.named_modules():
        if "conv1" in name.split(".") and isinstance(layer, nn.Conv2d) and layer.in_channels == 3:
            conv2 = getattr(module.network, "conv2", None)
            groups = [part.groups for part in conv2.modules() if isinstance(part, nn.Conv2d)] if conv2 else []
            return layer.weight.detach().float().cpu().numpy(), groups[0] if groups else 1
    return None
