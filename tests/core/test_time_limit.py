"""Work that may hang is waited for so long and no longer."""

from __future__ import annotations

import threading

from alexnet_lab.core.time_limit import within
from conftest import HANG


def test_an_answer_that_comes_in_time() -> None:
    assert within(HANG, lambda: "an answer", late="none") == "an answer"


def test_what_hangs_is_left_behind() -> None:
    over = threading.Event()
    try:
        assert within(0.01, over.wait, late=False) is False
    finally:
        over.set()
