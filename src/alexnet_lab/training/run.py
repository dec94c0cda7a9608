"""One training run, from a checked configuration to a finished run folder."""

from __future__ import annotations

import logging
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn

from alexnet_lab.config.checks import epochs_between_validations
from alexnet_lab.config.options import RunConfig, named_parts
from alexnet_lab.config.own import TARGET, OwnPart
from alexnet_lab.config.parts import import_from, own_code
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, Preempted, UserError
from alexnet_lab.core.files import remove_unfinished, write_json, write_text
from alexnet_lab.core.log_file import ON_SCREEN, to_log_file
from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.core.paths import as_called
from alexnet_lab.data.images_at_hand import at_hand, facts
from alexnet_lab.data.module import ImageData
from alexnet_lab.networks.layers import freeze
from alexnet_lab.runs.config_snapshot import (
    CONFIG_FILE,
    VERSION,
    configuration,
    migrated,
    refuse_other_settings,
    to_yaml,
)
from alexnet_lab.runs.lock import is_rank_zero
from alexnet_lab.runs.paths import run_dir
from alexnet_lab.runs.progress import show_progress
from alexnet_lab.runs.result import RESULT_FILE
from alexnet_lab.runs.same_images import refuse_other_images, result_of_same_run
from alexnet_lab.tracking.make_tracker import make_tracker
from alexnet_lab.tracking.tracker import Tracker
from alexnet_lab.training.build_result import build_result
from alexnet_lab.training.checkpoints import Checkpoints
from alexnet_lab.training.continuation import Continuation
from alexnet_lab.training.failures import ChanceLevelDetector, one_line_failures
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.own_callbacks import CallbackRows, ContinuedRows, make_callbacks
from alexnet_lab.training.own_loss import make_loss
from alexnet_lab.training.preemption import Preemption
from alexnet_lab.training.ranks import Ranks
from alexnet_lab.training.recipe import for_steps_of
from alexnet_lab.training.run_record import RunRecord
from alexnet_lab.training.trainer import make_trainer, quieten
from alexnet_lab.weights.make_network import make_network

log = logging.getLogger(__name__)

CROSS_ENTROPY = "torch.nn.CrossEntropyLoss"


def train(run: RunConfig, folder: Path, overrides: list[str]) -> None:
    """Train as the configuration says and leave everything about it in `folder`; continue what was begun there.

    Under DDP this is called once a rank; rank zero alone writes config.yaml, metrics.csv, checkpoints and,
    last of all and only when the run ended well, result.json.
    Raises UserError for what the person who started the run can mend, and Preempted when the run was asked to
    end (SIGTERM, SIGINT, SIGUSR1), or found no room on the disk, and can be continued.
    """
    started = time.monotonic()
    import_from(run.import_from)
    preemption = Preemption()
    preemption.listen()
    quieten()
    if (result := result_of_same_run(folder, run, lambda: at_hand(run.data))) is not None:
        error = 100 * result["metrics"]["val_top1_error"]
        log.info("%s is complete: top-1 error %.2f %%", shown(folder), error, extra=ON_SCREEN)
        _say_what_is_next(folder, run)
        return
    command = shlex.join([*as_called("python src/train.py").split(), *overrides, run_dir(folder)])
    ranks = Ranks(folder, run.trainer.collective_timeout)
    tracker = make_tracker(run, folder, preemption.stop)
    try:
        with one_line_failures(run, ranks, command):
            _train(run, folder, overrides, command, preemption, ranks, tracker, started)
    except (UserError, Preempted) as error:
        to_log_file(str(error))
        if isinstance(error, Preempted) and ranks.rank > 0:
            sys.exit(PREEMPTED_EXIT_CODE)  # rank zero has said it
        raise
    finally:
        ranks.end_started()
        tracker.finish(sys.exception())  # last, because it may have to wait for a server


def _train(
    run: RunConfig,
    folder: Path,
    overrides: list[str],
    command: str,
    preemption: Preemption,
    ranks: Ranks,
    tracker: Tracker,
    started: float,
) -> None:
    resolved = to_yaml(run)
    log.info("configuration:\n%s", resolved)
    checkpoints = Checkpoints(folder)
    begun = checkpoints.find()
    continues = begun is not None
    images_before = began_with = None
    if begun is not None:
        before = migrated(begun["configuration"], begun["version"], checkpoints.folder)
        refuse_other_settings(folder, before, run, complete=False)
        images_before, began_with = begun.get("images"), begun.get("began_with")
        del begun  # as large as the network
    if is_rank_zero():
        remove_unfinished(folder, checkpoints.folder)
        write_text(folder / CONFIG_FILE, resolved)
        show_progress(folder, {"state": "preparing"})

    keep_freed_memory()
    torch.set_flush_denormal(True)  # numbers below 1e-38 help nobody and make some processors many times slower
    lightning.seed_everything(run.seed, verbose=False)
    data = ImageData(run)
    data.prepare_data()  # so that the number of classes is known before the network is built
    images = facts(data.store)
    if continues:
        refuse_other_images(folder, images_before, images)
    network = make_network(run.model, data.num_classes)
    if run.init_from is not None and not continues:  # else the checkpoint holds what has become of these weights
        began_with = _begin_with(run.init_from, network, data)
    if run.freeze is not None:
        freeze(network, run.freeze)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = Classifier(
        network,
        data.augmentation(),
        for_steps_of(run.optim, data.batch_size * run.trainer.accumulate_grad_batches),
        run.model.input_size,
        run.seed,
        ranks,
        data.mixup(),
        make_loss(run),
        run.trainer.max_steps,
    )
    parameters = classifier.parameters_of_network
    # What guessing gives is known of cross-entropy, with smoothed labels too.
    guessed = data.num_classes if run.loss.get(TARGET, CROSS_ENTROPY) == CROSS_ENTROPY else math.inf
    chance_level = ChanceLevelDetector(guessed, run.trainer.stuck_after or 400 + 4 * data.num_classes)
    own_callbacks, rows = make_callbacks(run.callbacks), CallbackRows(folder)
    record = RunRecord(folder, run.trainer.log_every_n_steps, data.batch_size, started, chance_level)
    record.own_code = own_code(run.import_from, [target for _, target in named_parts(run)])

    def sync() -> None:
        record.sync()
        rows.sync()

    checkpoints.sync_first = sync
    kept = {
        "version": VERSION,
        "configuration": configuration(run),
        # What else it takes to use the network, and to know what its answers mean, wherever the images are by then.
        "images": {
            **images,
            "class_names": list(data.store.class_names),
            "pixel_mean": torch.tensor(data.store.pixel_mean),
            "color_axes": data.color_axes,
        },
        "began_with": began_with,
    }
    continuation = Continuation(run.trainer, checkpoints, preemption, record, ranks, kept, command)
    record.tell = tracker.row
    if is_rank_zero():
        _say_what_begins(run, folder, data, network, parameters)
    # The continuation last, so that a checkpoint holds what the others make of its own step.
    callbacks = [record, *own_callbacks, *([ContinuedRows(rows)] if own_callbacks else []), continuation]
    loggers = [rows] if own_callbacks else []
    every = epochs_between_validations(data.epochs, run.optim.validations, run.trainer.check_val_every_n_epoch)
    trainer = make_trainer(run.trainer, every, data.epochs, callbacks, checkpoints, tracker, ranks, loggers)
    try:
        trainer.fit(classifier, datamodule=data, ckpt_path=checkpoints.folder if continues else None, weights_only=True)
    finally:
        checkpoints.wait()
        record.close()
    if trainer.is_global_zero:
        result = build_result(run, parameters, images, data.limits, record, checkpoints, trainer, overrides, began_with)
        write_json(folder / RESULT_FILE, result)
        last = record.history[-1]
        if trainer.current_epoch < data.epochs:
            ended = "a callback ended the run after epoch %d of %d"
            log.info(ended, trainer.current_epoch, data.epochs, extra=ON_SCREEN)
        show_progress(folder, {"state": "completed", "val_top1_error": last["val_top1_error"]})
        log.info(
            "%d checkpoints took %.2f s of training",
            checkpoints.spent["saves"],
            checkpoints.spent["standstill_seconds"],
        )
        log.info(
            "done: top-1 error %.2f %%, top-5 error %.2f %%; %s",
            100 * last["val_top1_error"],
            100 * last["val_top5_error"],
            shown(folder),
            extra=ON_SCREEN,
        )
        _say_what_is_next(folder, run)


def _begin_with(source: str, network: nn.Module, data: ImageData) -> dict[str, Any]:
    """Put trained weights into the network. Returns whose they are, for the checkpoints and the result."""
    from alexnet_lab.weights.initial_weights import read_initial_weights, start_from  # here: it loads readers of files

    initial = read_initial_weights(source)
    fresh = start_from(network, initial, data.store.class_names)
    log.info("begins with %s; new: %s", initial.source, ", ".join(fresh) or "nothing", extra=ON_SCREEN)
    return {"from": str(initial.source), "sha256": initial.digest(), "new": fresh}


def shown(folder: Path) -> Path:
    """A folder as it is named from here."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _say_what_begins(run: RunConfig, folder: Path, data: ImageData, network: nn.Module, parameters: int) -> None:
    """What is trained on what, and where it goes."""
    log.info("network:\n%s", network)
    images, validation = (len(data.store.labels(split)) for split in ("train", "val"))
    log.info(
        f"{run.model.name} ({parameters:,} parameters) on {run.data.source}: {images:,} training and {validation:,} "
        f"validation images of {data.num_classes} classes; epochs: {data.epochs}, batches of "
        f"{data.batch_size}, seed {run.seed}",
        extra=ON_SCREEN,
    )
    if data.limits:
        log.warning("sees a part of the data alone (%s): it enters no table", ", ".join(data.limits))
    if data.num_classes <= 5:
        log.info("top-5 errors say nothing: with %d classes they are always 0", data.num_classes, extra=ON_SCREEN)
    log.info("run folder: %s (the configuration and the whole log are in it)", shown(folder), extra=ON_SCREEN)


def _say_what_is_next(folder: Path, run: RunConfig) -> None:
    trust = ["trust=true"] if isinstance(run.model, OwnPart) or isinstance(run.data, OwnPart) else []
    command = shlex.join(
        [*as_called("python src/evaluate.py").split(), f"run={shown(folder)}", "views=ten-crop", *trust]
    )
    log.info("next: %s", command, extra=ON_SCREEN)
