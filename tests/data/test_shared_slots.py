"""Memory that a child fills and its parent reads, used again as soon as nobody refers to it."""

from __future__ import annotations

import subprocess
import sys

from alexnet_lab.data.shared_slots import SharedSlots
from conftest import SOURCE

CHILD = """
import sys
from alexnet_lab.data.shared_slots import SharedSlots
SharedSlots(100, int(sys.argv[1])).memory(int(sys.argv[2]))[:] = 7
"""


def test_what_a_child_writes_is_read_here() -> None:
    slots = SharedSlots(100)
    first, second = slots.take(), slots.take()
    command = [sys.executable, "-c", CHILD, str(slots.descriptor), str(second)]
    subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, pass_fds=[slots.descriptor], check=True)
    assert slots.lent(first).tolist() == [0] * 100
    assert slots.lent(second).tolist() == [7] * 100
    slots.close()


def test_a_slot_is_free_again_when_nobody_refers_to_its_bytes() -> None:
    slots = SharedSlots(100)
    number = slots.take()
    content = slots.lent(number).data[10:20]
    assert slots.take() != number
    content[0] = 1
    del content
    assert slots.take() == number
    slots.close()
