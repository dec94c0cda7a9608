"""train.log, apart from the screen."""

from __future__ import annotations

import logging


def to_log_file(text: str) -> None:
    """Into train.log alone: what ends the program is printed anyway."""
    record = logging.getLogger(__name__).makeRecord(__name__, logging.ERROR, __file__, 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
