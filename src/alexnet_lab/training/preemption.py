"""Asked to end: SIGTERM, SIGINT, SIGUSR1, or a button on a tracker, ask a run to save where it is and to leave."""

from __future__ import annotations

import signal
from types import FrameType

from alexnet_lab.core.errors import Preempted
from alexnet_lab.core.signals import ASKS_TO_END, listen


class Preemption:
    """Notes the first of the signals; while nothing is there to be saved it ends the run at once."""

    def __init__(self) -> None:
        self.requested = ""  # the signal's name, or the button's
        self.by_a_person = False  # who does not want it started again
        self.can_wait = False

    def listen(self) -> None:
        """Take over the signals, in the main thread."""
        listen(ASKS_TO_END, self._note)

    def stop(self, button: str) -> None:
        """A person has pressed a button; from any thread, once there is something to be saved."""
        if not self.requested:
            self.requested, self.by_a_person = button, True

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, self.requested = not self.requested, self.requested or signal.Signals(number).name
        if first and not self.can_wait:
            raise Preempted(f"ended by {self.requested} before training began; the same command starts it again")
