"""Asks trained networks about every validation image, on one device or several."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import nn

from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.data.batches import EvaluationBatches
from alexnet_lab.data.reader import Batch, ImageReader
from alexnet_lab.data.store import Store
from alexnet_lab.evaluation.counts import Counts
from alexnet_lab.evaluation.members import Member
from alexnet_lab.evaluation.views import places, probabilities
from alexnet_lab.training.ranks import Ranks
from alexnet_lab.training.trainer import lightning_trainer

BATCH = 128  # images; each view is a batch of its own
SECONDS_BETWEEN_LINES = 15.0
TIMEOUT = 1800  # seconds that a rank waits for the others


class Evaluator(lightning.LightningModule):
    """Counts the answers of each member, and of all together: the mean of their softmax."""

    def __init__(self, members: Sequence[Member], store: Store, views: str) -> None:
        super().__init__()
        self.members, self.store, self.views = members, store, views
        self.networks = nn.ModuleList(member.network for member in members)
        self.means = nn.ParameterList(nn.Parameter(member.pixel_mean, requires_grad=False) for member in members)
        self.counts: list[Counts] = []  # a member each, then the ensemble

    def test_dataloader(self) -> EvaluationBatches:
        reader = ImageReader(
            self.store.images("val"), self.store.labels("val"), workers=2, pin=self.device.type == "cuda"
        )
        return EvaluationBatches(reader, BATCH, self.trainer.global_rank, self.trainer.world_size)

    def on_test_start(self) -> None:
        self.counts = [Counts(len(self.store.class_names), self.device) for _ in range(len(self.members) + 1)]

    def test_step(self, batch: Batch, batch_index: int) -> None:
        together: Any = 0.0
        asked = zip(self.members, self.networks, self.means, self.counts, strict=False)
        for member, network, mean, counts in asked:
            views = places(self.views, self.store.image_size, member.crop)
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


class ProgressLines(Callback):
    """A line now and then where no terminal shows a progress bar."""

    def __init__(self) -> None:
        self.started = self.said = time.monotonic()

    def on_test_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or now - self.said < SECONDS_BETWEEN_LINES:
            return
        self.said = now
        done, total = batch_idx + 1, int(sum(trainer.num_test_batches))
        left = (now - self.started) / done * (total - done)
        print(f"batch {done} of {total}, {left:.0f} s left", file=sys.stderr, flush=True)


def evaluate(
    members: Sequence[Member], store: Store, views: str, accelerator: str = "auto", devices: int = 1
) -> tuple[list[Counts], bool]:
    """(counts of each member and, last, of the ensemble over the whole validation set; whether this is rank zero).

    On several devices each image is counted once, and the counts are summed exactly.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    on_screen = sys.stderr.isatty()
    evaluator = Evaluator(members, store, views)
    evaluator.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks = Ranks(None, TIMEOUT)  # they never meet: one that ends before the others ends the evaluation
    strategy = "ddp" if devices > 1 else "auto"
    choice = TrainerConfig(accelerator=accelerator, devices=devices, strategy=strategy, collective_timeout=TIMEOUT)
    trainer = lightning_trainer(
        choice,
        ranks,
        logger=False,
        enable_progress_bar=on_screen,
        callbacks=[RichProgressBar() if on_screen else ProgressLines()],
    )
    try:
        trainer.test(evaluator, verbose=False)
    except BaseException:
        ranks.kill_started()  # before they notice that this one has gone, and say so at length
        raise
    return evaluator.counts, trainer.is_global_zero
