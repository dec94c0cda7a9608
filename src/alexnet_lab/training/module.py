"""The network in training: loss, errors, optimizer."""

from __future__ import annotations

import logging
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from alexnet_lab.config.options import RecipeConfig, RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.extra_augmentations import Mixup
from alexnet_lab.data.module import ImageData, share_of_batch
from alexnet_lab.data.reader import Batch
from alexnet_lab.networks.answers import is_among_first
from alexnet_lab.networks.layers import freeze, frozen_normalizations
from alexnet_lab.training.own_loss import Loss, make_loss
from alexnet_lab.training.ranks import Ranks
from alexnet_lab.training.recipe import apply_group_lr_overrides, for_lightning, make_optimizer, make_schedules
from alexnet_lab.training.saved_run import read_saved_run
from alexnet_lab.training.strategies import Towers

log = logging.getLogger(__name__)


class Classifier(lightning.LightningModule):
    """A network, the augmentation that feeds it, and the recipe that trains it.

    Logs per epoch, over all devices: train_loss, train_top1_error, val_loss, val_top1_error and
    val_top5_error; errors are fractions in [0, 1]. Validation is in float32 in any precision of training, and counts
    each image exactly once; its loss is cross-entropy, whatever that of training. A mixture's training error counts the
    label of the image whose batch position it has.
    """

    def __init__(
        self,
        network: nn.Module,
        augmentation: Augmentation,
        recipe: RecipeConfig,
        input_size: int,
        seed: int,
        ranks: Ranks,
        mixup: Mixup | None = None,
        loss: Loss | None = None,
        max_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.max_steps = max_steps
        self.network, self.augmentation, self.recipe, self.seed = network, augmentation, recipe, seed
        self.ranks, self.mixup, self.loss = ranks, mixup, loss
        self.frozen_normalizations = frozen_normalizations(network)
        self.parameters_of_network = sum(parameter.numel() for parameter in network.parameters())  # in all processes
        self.example_input_array = torch.zeros(1, 3, input_size, input_size)
        self.train_loss, self.train_top1 = MeanMetric(), MeanMetric()
        self.val_loss, self.val_top1, self.val_top5 = MeanMetric(), MeanMetric(), MeanMetric()
        self.run: RunConfig | None = None  # of a checkpoint

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | PathLike[str],
        map_location: Any = None,
        hparams_file: None = None,
        strict: bool = True,
        weights_only: bool = True,
        trust: bool = False,
    ) -> Self:
        """The module of a run's checkpoint, for Lightning's own Trainer to validate, test, ask and train further.

        Nothing of the file is unpickled, whatever `weights_only` says, and every tensor must fit. trust: whether parts
        that are not built in may be made, which runs their code. Raises UserError for a file that is no checkpoint.
        """
        saved = read_saved_run(Path(checkpoint_path), trust)
        if saved.run.freeze is not None:
            freeze(saved.network, saved.run.freeze)
        augmentation = Augmentation(saved.run.model.input_size, saved.pixel_mean.numpy())
        loss, ranks = make_loss(saved.run), Ranks(None, saved.run.trainer.collective_timeout)
        module = cls(
            saved.network.train(),
            augmentation,
            saved.run.optim,
            saved.run.model.input_size,
            saved.run.seed,
            ranks,
            loss=loss,
        )
        module.run = saved.run
        return module if map_location is None else module.to(map_location)

    def data(self) -> ImageData:
        """The images that a run was trained and validated on, of a module that was loaded from its checkpoint."""
        if self.run is None:
            raise UserError("data: a module that was not loaded from a checkpoint has none")
        return ImageData(self.run)

    @property
    def learning_rate(self) -> float | None:
        """The recipe's, of the weights; under this name Lightning's Tuner finds and sets it."""
        recipe: Any = self.recipe  # of whichever kind: each has one
        return recipe.learning_rate  # type: ignore[no-any-return]

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        recipe: Any = self.recipe
        self.recipe = replace(recipe, learning_rate=rate)

    def setup(self, stage: str) -> None:
        if self.run is not None and stage == "fit":  # by another trainer than ours
            data = getattr(self.trainer, "datamodule", None)
            if not isinstance(data, ImageData):
                raise UserError("fit: needs datamodule=module.data(), which says how training images are varied")
            self.augmentation, self.mixup = data.augmentation().to(self.device), data.mixup()
        # A validation before this may have left tensors of inference mode, which nothing else can change.
        for metric in (self.train_loss, self.train_top1, self.val_loss, self.val_top1, self.val_top5):
            metric.reset()

    def on_train_epoch_start(self) -> None:
        for module in self.frozen_normalizations:
            module.eval()

    def on_train_start(self) -> None:
        first = dropout_seed(self.seed, 0, share_of_batch(self.trainer)[0])
        log.info("rank %d draws the first step's dropout from seed %d", self.global_rank, first)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        # Dropout is a function of the seed, the step and the share of the batch: no random state has to be kept to
        # continue a run.
        each = self.trainer.accumulate_grad_batches
        step = self.trainer.global_step * each + batch_index % each  # of several batches each draws its own
        drawn_from = dropout_seed(self.seed, step, share_of_batch(self.trainer)[0])
        # Not torch.manual_seed: it also asks the drivers of absent devices, which takes a fifth of a small step.
        torch.default_generator.manual_seed(drawn_from)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(drawn_from)
        optimizer: Any = self.trainer.optimizers[0]
        apply_group_lr_overrides(optimizer, self.recipe, self.trainer.global_step, self.steps)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        views, targets = self.augmentation(batch, self.current_epoch), batch.labels
        if self.mixup is not None:
            views, targets = self.mixup(views, targets, batch.samples, self.current_epoch)
        logits = self.network(views)
        loss = self.training_loss(logits, targets)
        self.train_loss.update(loss.detach(), len(batch.labels))
        self.train_top1.update(is_among_first(logits.detach(), batch.labels, 1).float())
        return loss

    def training_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of class numbers (N,), or of a mixture's probabilities (N, classes)."""
        if self.loss is not None:
            return self.loss(logits, targets)
        return F.cross_entropy(logits, targets)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        strategy = self.trainer.strategy
        if isinstance(strategy, Towers) and gradient_clip_val and gradient_clip_algorithm == "norm":
            strategy.clip_gradients(optimizer, gradient_clip_val)  # of which this process has a part alone
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_validation_start(self) -> None:
        # Each rank has its own running statistics of batch normalization; a checkpoint holds rank zero's.
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        # In float32 whatever the precision of training: an error is then that of the weights which are saved and
        # exported, and src/evaluate.py finds the same on any device.
        with torch.autocast(self.device.type, enabled=False):
            logits = self.network(self.augmentation(batch, self.current_epoch))
        self.val_loss.update(F.cross_entropy(logits, batch.labels), len(batch.labels))
        self.val_top1.update(is_among_first(logits, batch.labels, 1).float())
        self.val_top5.update(is_among_first(logits, batch.labels, 5).float())

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self.validation_step(batch, batch_index)

    def predict_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Probabilities (N, classes) of the centre crops."""
        return self.network(self.augmentation(batch, self.current_epoch)).softmax(1)

    def on_test_epoch_end(self) -> None:
        self._log_errors("test")

    def on_validation_epoch_end(self) -> None:
        # The values are summed over devices by the metrics themselves, from counts. Those of training are
        # logged here too: at the training epoch's own end callbacks would ask for them before they are there.
        if self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:  # there is training to tell of
            self.log("train_loss", self.train_loss.compute())
            self.log("train_top1_error", 1.0 - self.train_top1.compute())
        self._log_errors("val")

    def _log_errors(self, stage: str) -> None:
        self.log(f"{stage}_loss", self.val_loss.compute())
        self.log(f"{stage}_top1_error", 1.0 - self.val_top1.compute(), prog_bar=True)
        self.log(f"{stage}_top5_error", 1.0 - self.val_top5.compute(), prog_bar=True)
        for metric in (self.val_loss, self.val_top1, self.val_top5):
            metric.reset()

    def on_train_epoch_end(self) -> None:
        # After the epoch's validation, and also where it had none: what is logged is the last epoch's own.
        self.train_loss.reset()
        self.train_top1.reset()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = {
            name: {key: value.cpu() for key, value in getattr(self, name).metric_state.items()}
            for name in ("train_loss", "train_top1")
        }
        _, shares = share_of_batch(self.trainer)
        # Of each share of the batches once, though both of its towers have the same.
        checkpoint["training_metrics"] = self.ranks.gather(state)[:: self.trainer.world_size // shares]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["training_metrics"]
        share, shares = share_of_batch(self.trainer)
        # What counts is their sum: of a run that had other shares, the first takes all.
        mine = [kept[share]] if len(kept) == shares else kept if share == 0 else []
        for name, state in (pair for states in mine for pair in states.items()):
            if "tp" in state:  # of an earlier version: right and wrong answers, of each class or of all
                right, wrong = state["tp"].sum().float(), state["fn"].sum().float()
                state = {"mean_value": right, "weight": right + wrong}
            getattr(self, name).merge_state(state)  # into one that was empty

    def configure_optimizers(self) -> Any:
        # PyTorch's fused step unscales gradients itself, which is too late where they are clipped in mixed precision.
        clips_mixed = bool(self.trainer.gradient_clip_val) and "mixed" in str(self.trainer.precision)
        optimizer = make_optimizer(self.network, self.recipe, fused=not clips_mixed)
        steps = int(self.trainer.estimated_stepping_batches)
        self.steps = steps if self.max_steps is None else min(steps, self.max_steps)
        return for_lightning(optimizer, make_schedules(optimizer, self.recipe, self.steps), self.recipe)


def dropout_seed(seed: int, step: int, share: int) -> int:
    """A seed of 64 well mixed bits: torch's generator on the CPU looks at the lower 32 alone."""
    return int(np.random.SeedSequence([seed, step, share]).generate_state(1, np.uint64)[0])
