"""A run on Weights & Biases: what it is told, and when. Who speaks with it is another process (wandb_process)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.epochs import epochs_between, steps_per_epoch
from alexnet_lab.core.errors import EXIT_USER_ERROR, PREEMPTED_EXIT_CODE, Preempted, UserError
from alexnet_lab.runs.metrics import best_and_final_errors
from alexnet_lab.tracking.images import Predictions
from alexnet_lab.tracking.predictions import PredictionImages
from alexnet_lab.tracking.run_identity import PROJECT, description, of_an_agent, run_id, session
from alexnet_lab.tracking.tracker import Tracker
from alexnet_lab.tracking.wandb_logger import WandbLogger
from alexnet_lab.tracking.wandb_pipe import WandbPipe, packed
from alexnet_lab.tracking.watch import Watch

log = logging.getLogger(__name__)

BUTTON = "the stop button of W&B"
SYNC_COMMAND = "make sync"
FINISH_SECONDS = 10.0  # for what is left to upload at the end, the weights not counted
ENDING_SECONDS = 4.0  # the same where the run was asked to end
START_SECONDS = 15.0  # that W&B may still need to start, at the end of a very short run
UPLOAD_RATE = 2e6  # bytes a second, at least


class WandbTracker(Tracker):
    """Tells W&B of a run, on rank zero alone; takes part in summing over ranks on every rank.

    stop: called with the button's name when somebody stops the run on W&B.
    """

    def __init__(self, run: RunConfig, folder: Path, stop: Callable[[str], None]) -> None:
        super().__init__()
        said = run.logger.wandb
        self.run, self.folder, self.stop, self.log_model = run, folder, stop, said.log_model
        self.callbacks = [_Start(self), PredictionImages(self.images)]
        if said.watch is not None:
            self.callbacks.append(Watch(said.watch, said.log_freq, self._histograms))
        self.logger = WandbLogger(said.project or PROJECT, folder, self._values, self._keep)
        self.loggers.append(self.logger)
        self._trainer: lightning.Trainer | None = None
        self._early: list[dict[str, Any]] = []  # what callbacks say before W&B's process is there
        self._pipe: WandbPipe | None = None
        self._steps_per_epoch = self._steps_per_validation = 1
        self._last_step: list[dict[str, Any]] = []  # what is said of an epoch's last step, until its validation is over
        self._validated = -1  # the step of the last validation that is over
        self._finish_seconds = FINISH_SECONDS

    def start(self, trainer: lightning.Trainer, module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._steps_per_epoch = steps_per_epoch(trainer)
        self._steps_per_validation = self._steps_per_epoch * epochs_between(trainer)
        parameters = module.parameters_of_network
        if self.log_model:
            self._finish_seconds += 4 * parameters / UPLOAD_RATE
        try:
            start = description(self.run, self.folder, parameters, trainer.world_size)
            start |= session(self.run)
            start |= {"pid": os.getpid(), "finish_seconds": self._finish_seconds, "sync_command": SYNC_COMMAND}
            self._pipe = WandbPipe(self.folder, start, lambda: self.stop(BUTTON))
        except OSError as error:  # such as a full disk
            log.warning("W&B: not used (%s); the run folder has everything", error)
            return
        self._trainer, self.logger.experiment.id = trainer, start["id"]
        for message in self._early:
            self._tell(**message)
        self._early = []

    def row(self, values: dict[str, float]) -> None:
        step = int(values["step"])
        if "val_loss" in values:
            self._validated = step
        payload = {key: value for key, value in values.items() if key not in ("step", "seconds")}  # W&B keeps its own
        self._tell_of(step, payload)

    def images(self, step: int, predictions: Predictions) -> None:
        """Have what the network says after this step drawn and shown."""
        self._tell_last_step()
        self._tell(do="images", step=step, **packed(predictions))

    def _histograms(self, step: int, bins: dict[str, list[Any]]) -> None:
        self._tell_of(step, {}, bins=bins)

    def _values(self, values: dict[str, Any], **drawn: Any) -> None:
        """What a module or a callback logs of the step that the run is at."""
        step = self._trainer.global_step if self._trainer is not None else 0
        self._tell_of(step, values, **{key: value for key, value in drawn.items() if value})

    def _keep(self, kind: str, values: dict[str, Any]) -> None:
        message = {"do": kind, "values": values}
        if self._trainer is None:
            self._early.append(message)
        self._tell(**message)

    def _tell_of(self, step: int, values: dict[str, Any], **drawn: Any) -> None:
        # Epochs that have passed, a fraction between two of them: the axis of every curve.
        row = {"do": "row", "step": step, "values": {**values, "epoch": step / self._steps_per_epoch}, **drawn}
        # W&B takes nothing more of a step that it knows when a run goes on. So the last step before a validation waits
        # for its end: where that is interrupted, the run that goes on tells of it, its own row from metrics.csv.
        if step % self._steps_per_validation == 0 and step > self._validated:
            self._last_step.append(row)
            return
        self._tell_last_step()
        self._tell(**row)

    def untold(self) -> list[dict[str, Any]]:
        """What callbacks said of a step whose validation is not over."""
        return [row for row in self._last_step if "train_loss" not in row["values"]]

    def told_again(self, rows: list[dict[str, Any]]) -> None:
        self._last_step = [*rows, *self._last_step]

    def _tell_last_step(self) -> None:
        for row in self._last_step:
            self._tell(**row)
        self._last_step = []

    def _tell(self, **message: Any) -> None:
        if self._pipe is not None:
            self._pipe.send(**message)

    def finish(self, error: BaseException | None) -> None:
        if self._pipe is None:
            return
        code = exit_code(error)
        errors = best_and_final_errors(self.folder)
        self._pipe.send(do="summary", values=errors)
        if error is None and self.log_model:
            self._send_weights(errors)
        preempted = code == PREEMPTED_EXIT_CODE
        # W&B has a preempted run of a sweep started again, and an agent's request to end comes from a person or a plan.
        self._pipe.send(do="finish", exit_code=code, preempted=preempted and not of_an_agent())
        self._pipe.close(ENDING_SECONDS if preempted else self._finish_seconds + START_SECONDS)
        if not self._pipe.used:
            with suppress(OSError):
                self._weights.unlink()
                self._weights.parent.rmdir()
        self._pipe = None

    @property
    def _weights(self) -> Path:
        return self.folder / "wandb" / "best.safetensors"

    def _send_weights(self, errors: dict[str, float]) -> None:
        """The best epoch's weights as an artifact."""
        from alexnet_lab.weights.run_folder import load_run
        from alexnet_lab.weights.safetensors_file import save

        assert self._pipe is not None
        file = self._weights
        try:
            file.parent.mkdir(exist_ok=True)
            save(
                load_run(self.folder, trust=True), file
            )  # a checkpoint itself is a pickle and names folders of this machine
        except (UserError, OSError) as error:
            log.warning("W&B: the weights are left out (%s)", error)
            return
        self._pipe.send(
            do="artifact",
            name=f"weights-{run_id(self.folder)}",
            type="model",
            files=[str(file.relative_to(self.folder))],
            metadata={"checkpoint": "best", **errors},
            aliases=["latest", "best"],
        )


def exit_code(error: BaseException | None) -> int:
    """What the program will exit with, which W&B takes for how the run ended."""
    if error is None:
        return 0
    if isinstance(error, Preempted):
        return error.exit_code
    return EXIT_USER_ERROR if isinstance(error, UserError) else 1


class _Start(Callback):
    """Starts the tracker when the trainer knows its ranks, and keeps in a checkpoint what it has not told yet."""

    def __init__(self, tracker: WandbTracker) -> None:
        self.tracker = tracker

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.tracker.start(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        untold = self.tracker.untold()
        return {"untold": untold} if untold else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.tracker.told_again(state_dict["untold"])
