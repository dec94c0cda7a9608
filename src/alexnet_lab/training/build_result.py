"""What goes into the result.json of a finished run."""

from __future__ import annotations

from typing import Any

import lightning

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.environment import hardware
from alexnet_lab.core.epochs import epochs_between
from alexnet_lab.runs.config_snapshot import configuration
from alexnet_lab.runs.metrics import best_epoch
from alexnet_lab.runs.result import SCHEMA_VERSION
from alexnet_lab.training.checkpoints import Checkpoints
from alexnet_lab.training.run_record import RunRecord


def build_result(
    run: RunConfig,
    parameters: int,
    images: dict[str, Any],
    partial: list[str],
    record: RunRecord,
    checkpoints: Checkpoints,
    trainer: lightning.Trainer,
    overrides: list[str],
    began_with: dict[str, Any] | None,
) -> dict[str, Any]:
    """Configuration, metrics, and what was spent; errors are fractions, times are seconds over all sessions.

    parameters: of the whole network, whoever has them. images: images_at_hand.facts of the store. partial: the settings
    by which it saw a part of the data alone, so that it enters no table; empty otherwise. began_with: whose weights
    init_from named; null for random ones. parts: what computed which steps, where a run was continued with other code,
    threads, devices or versions; versions, commit and hardware are those of the last.
    """
    last = record.history[-1]
    best = best_epoch([epoch["val_top1_error"] for epoch in record.history])
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "completed",
        "overrides": overrides,
        "seed": run.seed,
        "sweep": run.sweep,
        "parameters": parameters,
        "images": images,
        "began_with": began_with,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "partial": partial,
        "metrics": {
            **last,
            "best_val_top1_error": record.history[best]["val_top1_error"],
            "best_epoch": (best + 1) * epochs_between(trainer),
        },
        "train_images_per_second": record.images_per_second,
        "wall_seconds": record.wall_seconds,
        "checkpoints": checkpoints.spent,
        "warnings": record.warnings,
        "hardware": {
            **hardware(),
            "devices": trainer.world_size,
            "accelerator": trainer.accelerator.__class__.__name__,
        },
        "versions": record.parts[-1]["versions"],
        "commit": record.parts[-1]["commit"],  # as the run began, or went on
        "parts": record.parts,
        "config": configuration(run),
    }
