"""Lightning's trainer, as this project uses it."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.epochs import steps_per_epoch, validated
from alexnet_lab.core.log_file import ON_SCREEN
from alexnet_lab.tracking.tracker import Tracker
from alexnet_lab.training.checkpoints import Checkpoints
from alexnet_lab.training.lightning_compat import (
    DescribedBar,
    ask_for_no_signals,
    leave_signals_alone,
    shorten_epoch,
)
from alexnet_lab.training.ranks import Ranks, cluster_environment
from alexnet_lab.training.strategies import DistributedDataParallel, Towers

log = logging.getLogger(__name__)

READ_EVERY_SECONDS = 0.2  # between two looks at the loss by the progress bar


def make_trainer(
    choice: TrainerConfig,
    every: int,
    epochs: int,
    callbacks: list[Callback],
    checkpoints: Checkpoints,
    tracker: Tracker,
    ranks: Ranks,
    loggers: Sequence[Logger] = (),
) -> lightning.Trainer:
    """The trainer for one device or several. The tracker's callbacks come after the others.

    epochs: that the run begins; every: epochs from one validation to the next. loggers: beside the tracker's.
    """
    callbacks = [*callbacks, *tracker.callbacks]
    on_screen = choice.progress_bar and choice.enable_progress_bar and sys.stdout.isatty()
    if on_screen:
        callbacks.append(Bar())
    else:
        callbacks.append(EpochLines())
    if choice.max_steps is not None:
        callbacks.append(LastEpoch(choice.max_steps))  # last, so that the others have seen how long an epoch is
    folder = checkpoints.folder.parent
    return lightning_trainer(
        choice,
        ranks,
        plugins=[checkpoints],
        precision=choice.precision,
        max_epochs=epochs,
        min_epochs=choice.min_epochs,
        min_steps=choice.min_steps,
        check_val_every_n_epoch=every,
        accumulate_grad_batches=choice.accumulate_grad_batches,
        gradient_clip_val=choice.gradient_clip_val,
        gradient_clip_algorithm=choice.gradient_clip_algorithm,
        deterministic=choice.deterministic,  # type: ignore[arg-type]
        benchmark=choice.benchmark,
        sync_batchnorm=choice.sync_batchnorm,
        detect_anomaly=choice.detect_anomaly,
        profiler=make_profiler(choice.profiler, folder),
        inference_mode=choice.inference_mode,
        callbacks=callbacks,
        logger=[*tracker.loggers, *loggers],  # a callback's trainer.logger is the first
        log_every_n_steps=choice.log_every_n_steps,
        default_root_dir=folder,
        num_sanity_val_steps=choice.num_sanity_val_steps,
        enable_progress_bar=on_screen,
    )


def lightning_trainer(
    choice: TrainerConfig, ranks: Ranks, plugins: Sequence[Any] = (), **options: Any
) -> lightning.Trainer:
    """Lightning's trainer on the devices that are chosen, with nothing of its own that this project does itself.

    plugins, options: Lightning's.
    """
    strategy: Any = choice.strategy
    if choice.strategy != "auto":
        kind = Towers if choice.strategy == "towers" else DistributedDataParallel
        strategy = kind(
            ranks,
            # On GPUs longer than Ranks waits, which says who is missing where NCCL would end the process.
            timeout=timedelta(seconds=choice.collective_timeout + (60 if torch.cuda.is_available() else 0)),
            # There is nothing to broadcast, and ranks with unequal numbers of validation batches must not wait.
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            find_unused_parameters=choice.strategy == "ddp_find_unused_parameters_true",
        )
    trainer = lightning.Trainer(
        accelerator=choice.accelerator,
        devices=choice.devices,
        num_nodes=choice.num_nodes,
        strategy=strategy,
        plugins=[*plugins, cluster_environment()],
        use_distributed_sampler=False,  # it repeats samples to make batches even; ours counts each once
        enable_checkpointing=False,  # by Lightning itself
        enable_model_summary=False,  # it takes metrics for layers; train.log has the network
        **options,
    )
    leave_signals_alone(trainer)  # the program listens to them itself
    ask_for_no_signals(trainer)
    return trainer


def make_profiler(name: str | None, folder: Path) -> Profiler | None:
    """The profiler of that name, which leaves its report in the run folder; None for none."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    return None if name is None else kinds[name](dirpath=folder / "profiler", filename=name)


class LastEpoch(Callback):
    """Ends a run after `steps` optimizer steps, in the middle of an epoch, with that epoch's validation."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._shorten(trainer)  # a run that goes on within an epoch does not begin it

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._shorten(trainer)

    def _shorten(self, trainer: lightning.Trainer) -> None:
        before = trainer.current_epoch * steps_per_epoch(trainer)
        batches = (self.steps - before) * trainer.accumulate_grad_batches
        if 0 < batches < trainer.num_training_batches:
            shorten_epoch(trainer, batches)


class Bar(DescribedBar):
    """With the last step's loss on this device and the last epoch's top-1 error; epochs count from 1."""

    def __init__(self) -> None:
        super().__init__()
        self._step_loss: torch.Tensor | None = None
        self._loss, self._read_at = "", 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._step_loss = outputs["loss"]
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        now = time.monotonic()
        if self._step_loss is not None and now - self._read_at > READ_EVERY_SECONDS:  # a GPU is waited for
            self._loss, self._read_at = f"{float(self._step_loss):.3f}", now
        error = trainer.callback_metrics.get("val_top1_error")
        errors = {} if error is None else {"val error": f"{100 * float(error):.1f}%"}
        return {"loss": self._loss, **errors}

    def describe(self, epoch: int) -> str:
        return f"epoch {epoch + 1} of {self.trainer.max_epochs}"


class EpochLines(Callback):
    """A line per validation in the log, where no terminal shows a progress bar."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        values = {key: float(value) for key, value in trainer.callback_metrics.items()}
        if trainer.is_global_zero and validated(trainer):
            log.info(
                "epoch %d of %d: train loss %.4f, train top-1 error %.2f %%, "
                "val top-1 error %.2f %%, val top-5 error %.2f %%",
                trainer.current_epoch + 1,
                trainer.max_epochs,
                values["train_loss"],
                *(100 * values[key] for key in ("train_top1_error", "val_top1_error", "val_top5_error")),
                extra=ON_SCREEN,
            )


def quieten() -> None:
    """Leave out Lightning's advice that does not apply: batches come from memory maps, not from workers."""
    logging.raiseExceptions = False  # a log that finds no room on the disk is no reason to end a run
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # metrics.csv has the first 50 steps
    warnings.filterwarnings("ignore", ".*recommended to use `self.log.*sync_dist=True.*")  # they have been
    warnings.filterwarnings("ignore", ".*was called before the ``update`` method.*")  # in an earlier session
    # Its successor is newer than the oldest PyTorch that is supported.
    warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated.*")
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).handlers.clear()  # of their own, on stderr; what they say is in train.log
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
