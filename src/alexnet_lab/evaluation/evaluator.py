"""Classifies every validation image with trained networks, on one device or several."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.progress import ImageProgress
from alexnet_lab.data.batches import EvaluationBatches
from alexnet_lab.data.reader import Batch, ImageReader
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.counts import Counts
from alexnet_lab.evaluation.members import Member
from alexnet_lab.evaluation.views import probabilities, views_of
from alexnet_lab.training.ranks import Ranks
from alexnet_lab.training.trainer import lightning_trainer

BATCH = 128  # images; each view is a batch of its own
TIMEOUT = 1800  # seconds that a rank waits for the others


class Evaluator(lightning.LightningModule):
    """Counts the answers of each member, and of all together: the mean of their softmax."""

    def __init__(self, members: Sequence[Member], store: Store, views: str) -> None:
        super().__init__()
        self.members, self.store, self.views = members, store, views
        self.networks = nn.ModuleList(member.network for member in members)
        self.means = nn.ParameterList(nn.Parameter(member.pixel_mean, requires_grad=False) for member in members)
        self.counts: list[Counts] = []  # one per member, then the ensemble

    def test_dataloader(self) -> EvaluationBatches:
        reader = ImageReader(
            self.store.images("val"), self.store.labels("val"), workers=2, pin=self.device.type == "cuda"
        )
        return EvaluationBatches(reader, BATCH, self.trainer.global_rank, self.trainer.world_size)

    def on_test_start(self) -> None:
        self.counts = [Counts(len(self.store.class_names), self.device) for _ in range(len(self.members) + 1)]

    def test_step(self, batch: Batch, batch_index: int) -> None:
        together: Any = 0.0
        members = zip(self.members, self.networks, self.means, self.counts, strict=False)
        for member, network, mean, counts in members:
            views = views_of(self.views, self.store.image_size, member.crop)
            answers = probabilities(network, batch.images, mean, member.crop, views)[:, member.columns]
            if not torch.isfinite(answers).all():
                raise UserError(f"run={member.folder}: its network answers NaN; its training had diverged")
            counts.add(answers, batch.labels)
            together = together + answers
        self.counts[-1].add(together / len(self.members), batch.labels)

    def on_test_epoch_end(self) -> None:
        for counts in self.counts:
            counts.confusion = self.trainer.strategy.reduce(counts.confusion, reduce_op="sum").cpu()
            counts.top5 = self.trainer.strategy.reduce(counts.top5, reduce_op="sum").cpu()


class ShownProgress(Callback):
    """Of all ranks: zero's share, times their number."""

    def __init__(self, images: int, until: ExitStack) -> None:
        self.images, self.until = images, until

    def on_test_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            self.progress = self.until.enter_context(ImageProgress("Evaluating", self.images))

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        if trainer.is_global_zero:
            self.progress.advance(len(batch.labels) * trainer.world_size)


def evaluate(
    members: Sequence[Member], store: Store, views: str, accelerator: str = "auto", devices: int = 1
) -> tuple[list[Counts], bool]:
    """(counts of each member and, last, of the ensemble over the whole validation set; whether this is rank zero).

    On several devices each image is counted once, and the counts are summed exactly.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    evaluator = Evaluator(members, store, views)
    evaluator.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks = Ranks(None, TIMEOUT)  # they never meet: one that ends before the others ends the evaluation
    strategy = "ddp" if devices > 1 else "auto"
    choice = TrainerConfig(accelerator=accelerator, devices=devices, strategy=strategy, collective_timeout=TIMEOUT)
    with ExitStack() as until_the_end:
        shown = ShownProgress(len(store.labels("val")), until_the_end)
        trainer = lightning_trainer(choice, ranks, logger=False, enable_progress_bar=False, callbacks=[shown])
        try:
            trainer.test(evaluator, verbose=False)
        except BaseException:
            ranks.kill_started()  # before they notice that this one has gone, and say so at length
            raise
    return evaluator.counts, trainer.is_global_zero
