"""Work that may hang, with an end to the waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def within(seconds: float, ask: Callable[[], Answer], late: Answer) -> Answer:
    """What `ask` returns, or `late` where it takes longer than so many seconds; it must not raise.

    In a thread, because looking up a name has no time limit of its own.
    """
    found: list[Answer] = []
    thread = threading.Thread(target=lambda: found.append(ask()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else late
