"""The program of a process that decodes pictures for decode_pool: python -m alexnet_lab.data.decode_worker.

A process of its own, because a decoder may crash or loop for ever on a damaged file. It loads little, so that
it starts in a moment.
"""

from __future__ import annotations

import signal
import socket
import sys

from alexnet_lab.data.block_channel import BlockChannel
from alexnet_lab.data.decode_job import decode


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard's is for the program that waits for us
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    channel = BlockChannel(socket.socket(fileno=int(sys.argv[1])))
    try:
        while True:
            job = channel.receive()
            channel.send_block(decode(job, channel.send) if job.careful else decode(job))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # nobody waits any more


if __name__ == "__main__":
    main()
