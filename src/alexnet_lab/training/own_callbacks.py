"""Callbacks of one's own: made, checked, and what they log kept in the run folder."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from alexnet_lab.config.own import TARGET
from alexnet_lab.config.parts import make
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.growing_file import GrowingText
from alexnet_lab.runs.metrics import LOGGED
from alexnet_lab.tracking.rows_logger import RowsLogger

ROWS_FILE = "callback_metrics.csv"
HEAD = "step,key,value\n"
PLAIN = (str, int, float, bool, type(None), torch.Tensor)


def make_callbacks(parts: Mapping[str, Any], epochs_between: int = 1) -> list[Callback]:
    """The callbacks of a configuration, in its order. epochs_between: from one validation to the next.

    Raises UserError for what is no callback of Lightning, keeps checkpoints, or watches a metric that is never logged.
    """
    made = {name: make(f"callbacks.{name}", part) for name, part in parts.items()}
    for name, callback in made.items():
        if not isinstance(callback, Callback):
            given = type(callback).__name__
            raise UserError(f"callbacks.{name}: {parts[name][TARGET]} gives {given}, not a Callback of Lightning")
        if isinstance(callback, Checkpoint):
            raise UserError(
                f"callbacks.{name}: checkpoints are kept in any case, checkpoints/last.ckpt and best.ckpt of the run "
                "folder; drop it (trainer.checkpoint_minutes and trainer.checkpoint_steps say how often)"
            )
        if epochs_between > 1 and parts[name].get("check_on_train_epoch_end"):
            raise UserError(
                f"callbacks.{name}.check_on_train_epoch_end=true: not every epoch has a validation; drop it, or use "
                "optim.validations=null"
            )
    keys = [callback.state_key for callback in made.values()]
    if len(set(keys)) < len(keys):
        raise UserError("callbacks: two have the same state_key, under which a checkpoint keeps their state")
    lightnings_own = all(type(callback).__module__.startswith("lightning.") for callback in made.values())
    for name, callback in made.items():
        monitor = getattr(callback, "monitor", None)
        if lightnings_own and isinstance(monitor, str) and monitor not in LOGGED:  # others may log further ones
            near = difflib.get_close_matches(monitor, LOGGED, n=1)
            advice = f"did you mean {near[0]}? There are" if near else "there are"
            raise UserError(f"callbacks.{name}.monitor={monitor}: is never logged; {advice} {', '.join(LOGGED)}")
    return list(made.values())


def check_plain(checkpoint: Mapping[str, Any]) -> None:
    """Raise UserError where something of one's own keeps what cannot be read back: checkpoints hold no code."""
    for kind in ("callbacks", "optimizer_states", "lr_schedulers"):
        states = checkpoint[kind]
        for name, state in states.items() if isinstance(states, Mapping) else enumerate(states):
            if (odd := _odd(state)) is not None:
                raise UserError(
                    f"{kind}: the state of {str(name).partition('{')[0]} holds a {odd}; only tensors, numbers, text, "
                    "lists and dictionaries of them can be read back from a checkpoint"
                )


def _odd(value: Any) -> str | None:
    """The name of the first type in a nested value that torch.load does not read with weights_only."""
    if type(value) in PLAIN or isinstance(value, torch.Tensor):
        return None
    if isinstance(value, Mapping):
        return next((odd for pair in value.items() for odd in map(_odd, pair) if odd), None)
    if type(value) in (list, tuple, set):
        return next((odd for item in value if (odd := _odd(item))), None)
    if type(value).__module__ in ("collections", "torch", "torch.serialization"):  # Counter, OrderedDict, dtype
        return None
    return f"{type(value).__module__}.{type(value).__qualname__}"


class CallbackRows(RowsLogger):
    """What callbacks log, in callback_metrics.csv of the run folder: a row a value. Rank zero writes.

    kept: how many rows belong to what is done, where a run is continued; those after them come again.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / ROWS_FILE)
        self.kept = 0

    @property
    def name(self) -> str:
        return "callback_metrics"

    @property
    def version(self) -> int:
        return 0

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def open(self) -> None:
        """Begin the file, or go on after the rows that are kept."""
        rows: list[str] = []
        if self.kept and self.path.exists():
            rows = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)[1 : self.kept + 1]
        self._file = GrowingText(self.path, "".join([HEAD, *rows]))

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._file is None:
            self.open()
        assert self._file is not None
        for key, value in metrics.items():
            if key not in (*LOGGED, "epoch"):  # which are in metrics.csv
                self._file.add(f"{'' if step is None else step},{json.dumps(key)},{float(value):.9g}\n")
                self.kept += 1

    def sync(self) -> None:
        if self._file is not None:
            self._file.sync()


class ContinuedRows(Callback):
    """Keeps in a checkpoint how many rows there are, so that a run that is continued has each of them once."""

    def __init__(self, rows: CallbackRows) -> None:
        self.rows = rows

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows.kept = state_dict["rows"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.rows.step = lambda: trainer.global_step
        self.rows.open()
