"""train.log, and the screen, which shows a part of it."""

from __future__ import annotations

import logging

ON_SCREEN = {"screen": True}  # extra= of what a person who starts a run waits for


class Screen(logging.Handler):
    """Prints what is marked as ON_SCREEN, and warnings; the rest is in train.log. conf/hydra/job_logging has it."""

    def emit(self, record: logging.LogRecord) -> None:
        # print, because a progress bar has itself lifted over what is printed, not over what handlers write.
        if record.levelno >= logging.WARNING:
            print(f"warning: {record.getMessage()}", flush=True)
        elif getattr(record, "screen", False):
            print(record.getMessage(), flush=True)


def to_log_file(text: str) -> None:
    """Into train.log alone: what ends the program is printed anyway."""
    record = logging.getLogger(__name__).makeRecord(__name__, logging.ERROR, __file__, 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
