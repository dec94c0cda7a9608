"""Signals that ask a program to end, and what it makes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, Preempted

ASKS_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# A terminal that is closed ends a sweep too: its jobs are in sessions of their own, and would not hear of it.
ASKS_A_SWEEP_TO_END = (*ASKS_TO_END, signal.SIGHUP)
STAYS_IGNORED = (signal.SIGHUP, signal.SIGINT)  # of a terminal: by nohup, and by shells for programs in the background


def listen(numbers: Iterable[signal.Signals], handler: Callable[[int, Any], Any]) -> dict[signal.Signals, Any]:
    """Call handler(number, frame) when a signal comes, but for those of a terminal that were ignored at the start.

    Returns what was done before, for `signal.signal`.
    """
    heard = [n for n in numbers if not (n in STAYS_IGNORED and signal.getsignal(n) is signal.SIG_IGN)]
    return {number: signal.signal(number, handler) for number in heard}


def stop_when_asked(text: str) -> None:
    """From now on a program that is asked to end raises Preempted, once, with what that means for its work.

    Ranks other than zero wait for rank zero, whose end they follow.
    """

    def stop(number: int, frame: object) -> None:
        for other in ASKS_TO_END:
            signal.signal(other, signal.SIG_IGN)
        raise Preempted(f"ended by {signal.Signals(number).name}; {text}")

    if os.environ.get("LOCAL_RANK", "0") == "0":
        listen(ASKS_TO_END, stop)
    else:
        for number in ASKS_TO_END:
            signal.signal(number, signal.SIG_IGN)


def leave_when_asked() -> None:
    """Until there is something to be kept, a program that is asked to end just ends, with the code that says so."""
    listen(ASKS_TO_END, _leave)


def _leave(number: int, frame: object) -> None:
    with suppress(OSError):
        os.write(2, f"ended by {signal.Signals(number).name} before anything was begun\n".encode())
    os._exit(PREEMPTED_EXIT_CODE)
