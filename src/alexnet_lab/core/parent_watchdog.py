"""A job ends soon after whoever started it has died, even where that was killed and could not say goodbye."""

from __future__ import annotations

import os
import signal
import threading
import time

PARENT = "ALEXNET_LAB_PARENT"  # the process that a started one is to follow
POLL_SECONDS = 0.5
GRACE_SECONDS = 60.0  # to save a checkpoint in


def environment() -> dict[str, str]:
    """What a process that is to follow this one has in its environment."""
    return {PARENT: str(os.getpid())}


def follow_parent() -> None:
    """Watch, in a thread, whether the process that started this one still lives, if it asked for that.

    When it has died this process gets SIGTERM, and after a grace SIGKILL with every process of its group.
    A rank other than zero has nothing to save and ends at once: it would wait for the dead one.
    """
    parent = os.environ.pop(PARENT, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), name="parent-watchdog", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
