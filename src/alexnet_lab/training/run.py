"""One training run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichModelSummary, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import OmegaConf

from alexnet_lab.config import RunConfig
from alexnet_lab.data.augmentation import Augmentation
from alexnet_lab.data.module import PictureData
from alexnet_lab.errors import UserError
from alexnet_lab.files import write_json, write_text
from alexnet_lab.training.build import build_network
from alexnet_lab.training.environment import commit, hardware, versions
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.result import FILE_NAME, SCHEMA_VERSION, configuration
from alexnet_lab.training.run_record import RunRecord

log = logging.getLogger(__name__)


def train(run: RunConfig, folder: Path, overrides: list[str]) -> None:
    """Train as the configuration says and leave everything about it in `folder`.

    Under DDP this is called once a rank; rank zero alone writes config.yaml, metrics.csv, checkpoints and,
    last of all and only when the run ended well, result.json.
    Raises UserError for what the person who started the run can mend.
    """
    started = time.monotonic()
    _quieten()
    resolved = OmegaConf.to_yaml(OmegaConf.structured(run))
    rank = int(os.environ.get("NODE_RANK", "0")) * run.trainer.devices + int(os.environ.get("LOCAL_RANK", "0"))
    log.info("configuration:\n%s", resolved)
    if rank == 0:
        (folder / FILE_NAME).unlink(missing_ok=True)
        write_text(folder / "config.yaml", resolved)
        write_json(folder / "progress.json", {"state": "preparing"}, durable=False)

    torch.set_flush_denormal(True)  # numbers below 1e-38 help nobody and make some processors many times slower
    lightning.seed_everything(run.seed, verbose=False)
    data = PictureData(run)
    data.prepare_data()  # so that the number of classes is known before the network is built
    network = build_network(run.model, data.num_classes)
    augmentation = Augmentation(
        run.model.input_size,
        data.store.pixel_mean,
        data.store.color_eigenvalues,
        data.store.color_eigenvectors,
        seed=run.seed,
        random_crop=run.data.random_crop,
        flip=run.data.flip,
        color_noise=run.data.color_noise,
        color_noise_epochs=round(run.optim.color_noise_until * run.trainer.max_epochs),
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = Classifier(network, augmentation, run.optim, data.num_classes, run.model.input_size, run.seed)
    record = RunRecord(folder, run.trainer.log_every_n_steps, data.batch_size)
    trainer = make_trainer(run, folder, record)
    try:
        trainer.fit(classifier, datamodule=data)
    finally:
        record.close()
        _finish_trackers(run)
    if trainer.is_global_zero:
        if trainer.interrupted:
            raise KeyboardInterrupt
        write_json(folder / FILE_NAME, _result(run, network, record, trainer, overrides, time.monotonic() - started))
        last = record.history[-1]
        done = {"state": "completed", "val_top1_error": last["val_top1_error"]}
        write_json(folder / "progress.json", done, durable=False)
        log.info(
            "done: top-1 error %.2f %%, top-5 error %.2f %%; %s",
            100 * last["val_top1_error"],
            100 * last["val_top5_error"],
            folder,
        )


def make_trainer(run: RunConfig, folder: Path, record: RunRecord) -> lightning.Trainer:
    """The Lightning trainer with this project's callbacks, for one device or several."""
    choice = run.trainer
    callbacks: list[Callback] = [
        record,
        # Without a suffix: a checkpoint keeps its name, so that tools and people find it.
        ModelCheckpoint(
            folder / "checkpoints",
            filename="best",
            monitor="val_top1_error",
            mode="min",
            save_last=True,
            enable_version_counter=False,
        ),
    ]
    on_screen = choice.progress_bar and sys.stderr.isatty()
    if on_screen:
        callbacks += [RichModelSummary(max_depth=2), RichProgressBar()]
    else:
        callbacks.append(EpochLines())
    strategy: Any = choice.strategy
    if choice.strategy == "ddp":
        strategy = DDPStrategy(
            timeout=timedelta(seconds=choice.collective_timeout),
            # There is nothing to broadcast, and ranks with unequal numbers of validation batches must not wait.
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )
    return lightning.Trainer(
        accelerator=choice.accelerator,
        devices=choice.devices,
        num_nodes=choice.num_nodes,
        strategy=strategy,
        precision=choice.precision,  # type: ignore[arg-type]
        max_epochs=choice.max_epochs,
        deterministic=choice.deterministic,
        callbacks=callbacks,
        logger=_tracker(run, folder),
        log_every_n_steps=choice.log_every_n_steps,
        default_root_dir=folder,
        use_distributed_sampler=False,  # it repeats samples to make batches even; ours counts each once
        num_sanity_val_steps=0,
        enable_progress_bar=on_screen,
        enable_model_summary=on_screen,
    )


class EpochLines(Callback):
    """A line an epoch in the log, where no terminal shows a progress bar."""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        values = {key: float(value) for key, value in trainer.callback_metrics.items()}
        if trainer.is_global_zero:
            log.info(
                "epoch %d of %d: train loss %.4f, train top-1 error %.2f %%, "
                "val top-1 error %.2f %%, val top-5 error %.2f %%",
                trainer.current_epoch + 1,
                trainer.max_epochs,
                values["train_loss"],
                *(100 * values[key] for key in ("train_top1_error", "val_top1_error", "val_top5_error")),
            )


def _tracker(run: RunConfig, folder: Path) -> Logger | bool:
    if run.logger.name == "csv":
        return CSVLogger(folder, name="csv_logger", version="")
    if run.logger.name == "wandb":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # otherwise even an offline run reports to the vendor
        os.environ.setdefault("WANDB_SILENT", "true")
        try:
            import wandb  # here, because it takes half a second and most runs do without
        except ImportError:
            raise UserError("logger=wandb: wandb is not installed; pip install wandb, or choose logger=none") from None
        try:
            online = wandb.login(prompt=False)  # finds a key in the environment or the netrc file, never asks for one
        except wandb.Error:
            online = False
        if not online:
            log.info("W&B: no key, so this run stays offline; `wandb sync %s/wandb/offline-run-*` uploads it", folder)
        return WandbLogger(
            project=run.logger.project,
            name=folder.name,
            group=run.sweep,
            save_dir=folder,
            offline=not online,
            mode="online" if online else "offline",
            config=_flat(configuration(run)),
        )
    return False


def _finish_trackers(run: RunConfig) -> None:
    if run.logger.name == "wandb":
        import wandb

        wandb.finish()  # otherwise the next job of this process would go on writing into the same W&B run


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _result(
    run: RunConfig,
    network: torch.nn.Module,
    record: RunRecord,
    trainer: lightning.Trainer,
    overrides: list[str],
    seconds: float,
) -> dict[str, Any]:
    last = record.history[-1]
    best = min(range(len(record.history)), key=lambda epoch: record.history[epoch]["val_top1_error"])
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "completed",
        "overrides": overrides,
        "seed": run.seed,
        "sweep": run.sweep,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "metrics": {
            **last,
            "best_val_top1_error": record.history[best]["val_top1_error"],
            "best_epoch": best + 1,
        },
        "train_images_per_second": record.images_per_second,
        "wall_seconds": seconds,
        "hardware": {
            **hardware(),
            "devices": trainer.world_size,
            "accelerator": trainer.accelerator.__class__.__name__,
        },
        "versions": versions(),
        "commit": commit(),
        "config": configuration(run),
    }


def _quieten() -> None:
    """Leave out Lightning's advice that does not apply: batches come from memory maps, not from workers."""
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    warnings.filterwarnings("ignore", ".*recommended to use `self.log.*sync_dist=True.*")  # they have been
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
