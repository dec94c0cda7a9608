"""The sweep of an experiment: `src/train.py -m` in a process of its own, which ends when this one is asked to."""

from __future__ import annotations

import os
import subprocess
import sys

from alexnet_lab.core import parent_watchdog
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE
from alexnet_lab.core.paths import TRAIN
from alexnet_lab.core.signals import ASKS_A_SWEEP_TO_END, listen


def run_sweep(overrides: list[str]) -> int:
    """Run the sweep and return its exit code; signals that ask to end are handed on."""
    command = [sys.executable, str(TRAIN), "-m", *overrides]
    sweep = subprocess.Popen(command, env={**os.environ, **parent_watchdog.environment()})
    listen(ASKS_A_SWEEP_TO_END, lambda number, frame: sweep.send_signal(number))
    code = sweep.wait()
    if -code in ASKS_A_SWEEP_TO_END:  # it was asked to end before it had begun to listen
        return PREEMPTED_EXIT_CODE
    return code if code >= 0 else 128 - code  # as a shell reports a signal
