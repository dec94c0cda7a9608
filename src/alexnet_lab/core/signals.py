"""Signals that ask a program to end, and what it makes of them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, Preempted

ASKS_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# A terminal that is closed ends a sweep too: its jobs are in sessions of their own, and would not hear of it.
ASKS_A_SWEEP_TO_END = (*ASKS_TO_END, signal.SIGHUP)


def stop_when_asked(text: str) -> None:
    """From now on a program that is asked to end raises Preempted, once, with what that means for its work.

    Ranks other than zero wait for rank zero, whose end they follow.
    """

    def stop(number: int, frame: object) -> None:
        for other in ASKS_TO_END:
            signal.signal(other, signal.SIG_IGN)
        raise Preempted(f"ended by {signal.Signals(number).name}; {text}")

    for number in ASKS_TO_END:
        signal.signal(number, stop if os.environ.get("LOCAL_RANK", "0") == "0" else signal.SIG_IGN)


def leave_when_asked() -> None:
    """Until there is something to be kept, a program that is asked to end just ends, with the code that says so."""
    for number in ASKS_TO_END:
        signal.signal(number, _leave)


def _leave(number: int, frame: object) -> None:
    with suppress(OSError):
        os.write(2, f"ended by {signal.Signals(number).name} before anything was begun\n".encode())
    os._exit(PREEMPTED_EXIT_CODE)
