"""The program of a process that decodes images for decode_pool.

    python -m alexnet_lab.data.decode_worker CONNECTION MEMORY BYTES

CONNECTION and MEMORY: descriptors of a multiprocessing.Pipe and of SharedSlots with so many bytes each.
A process of its own, because a decoder may crash or loop for ever on a damaged file. It loads little, so that
it starts in a moment.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from dataclasses import replace
from multiprocessing.connection import Connection

from alexnet_lab.core.memory import keep_freed_memory
from alexnet_lab.data.decode_job import decode
from alexnet_lab.data.shared_slots import SharedSlots


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard's is for the program that waits for us
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _hush()
    keep_freed_memory()  # of one image for the next one
    descriptor, memory, size = map(int, sys.argv[1:])
    connection, slots = Connection(descriptor), SharedSlots(size, memory)
    while True:
        try:
            job = connection.recv()
        except (EOFError, ConnectionResetError):
            return  # nobody waits any more
        slot = slots.memory(job.slot)
        chunk = decode(job, slot, connection.send) if job.careful else decode(job, slot)
        try:  # the pixels are in the shared memory
            connection.send(replace(chunk, content=b"") if job.packing == "pixels" else chunk)
        except (BrokenPipeError, ConnectionResetError):
            return  # as above


def _hush() -> None:
    """Drop what decoders have to say of damaged files, which would bury the progress; what fails here is still told."""
    warnings.simplefilter("ignore")
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C write to it directly


if __name__ == "__main__":
    main()
