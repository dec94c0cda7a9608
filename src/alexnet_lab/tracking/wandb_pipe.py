"""A run's end of the line to the process that speaks with W&B: it never waits, and never fails the run."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.log_file import ON_SCREEN
from alexnet_lab.core.paths import SOURCE
from alexnet_lab.tracking.images import Predictions

log = logging.getLogger(__name__)

ROOM = 20_000  # messages that may wait while W&B starts
# A file of a sweep's agent, named from another folder; the run's configuration says the same.
PARAMETERS = "WANDB_SWEEP_PARAM_PATH"
ARRAYS = ("counts", "images", "labels", "classes", "probabilities", "kernels")  # of predictions


class WandbPipe:
    """Starts the process in `folder` and hands it messages, in order, as long as it takes them.

    stop: called, from another thread, when somebody stops the run on W&B.
    """

    def __init__(self, folder: Path, start: dict[str, Any], stop: Callable[[], None]) -> None:
        self._stop = stop
        self.used = True  # false once it is known that W&B is not: it is not installed, or switched off
        self._waiting: queue.Queue[str | None] = queue.Queue(ROOM)
        self._done = self._given_up = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "alexnet_lab.tracking.wandb_process"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            start_new_session=True,  # a Ctrl-C is for the run, which then tells W&B how it ended
        )
        threading.Thread(target=self._write, daemon=True).start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.send(do="start", **start)

    def send(self, **message: Any) -> None:
        """Hand over a message and return at once."""
        if self._given_up:
            return
        try:
            self._waiting.put_nowait(json.dumps(message))
        except queue.Full:
            self._give_up("its process does not keep up")

    def close(self, seconds: float) -> None:
        """Wait until the messages so far are dealt with, `seconds` at the most, and end the process."""
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        try:
            self._process.wait(seconds)
            self._listener.join(1.0)
        except subprocess.TimeoutExpired:
            self._give_up(f"it had not ended after {seconds:.0f} s")
        self._end()

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError), self._process.stdin as pipe:  # the listener sees how it ended
            while (line := self._waiting.get()) is not None:
                pipe.write(line + "\n")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            self._done |= bool(message.get("done"))
            if "stop" in message:
                self._stop()
            self.used &= message.get("used", True)
            if "say" in message:
                level = logging.WARNING if message["level"] == "warning" else logging.INFO
                log.log(level, "%s", message["say"], extra=ON_SCREEN)
        if not self._done:
            self._give_up("its process has ended")
        self._given_up = True

    def _give_up(self, reason: str) -> None:
        if not self._given_up:
            self._given_up = True
            log.warning("W&B: stopped (%s); training goes on and its folder has everything", reason)
            self._end()

    def _end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def packed(predictions: Predictions) -> dict[str, Any]:
    """As parts of a message: text and numbers as they are, arrays as text."""
    return {key: _as_text(value) if key in ARRAYS else value for key, value in vars(predictions).items()}


def unpacked(message: dict[str, Any]) -> Predictions:
    """What `packed` made into parts of this message."""
    values = {field.name: message[field.name] for field in fields(Predictions)}
    return Predictions(**values | {key: _from_text(values[key]) for key in ARRAYS})


def _as_text(array: np.ndarray) -> str:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


def _from_text(text: str) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    return array


def environment() -> dict[str, str]:
    """This process's, in which the other one finds this project."""
    own = {key: value for key, value in os.environ.items() if key != PARAMETERS}
    return own | {"PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), own.get("PYTHONPATH")]))}
