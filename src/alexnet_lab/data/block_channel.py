"""Two processes that send each other Python objects, and blocks of pictures without copying them more than need be."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import struct
from typing import Any

from alexnet_lab.data.block import Block

_LENGTHS = struct.Struct("!QQ")  # of what is pickled, and of the pictures behind it


class BlockChannel:
    """One end of a pair of sockets between a program and its own child, which trust each other."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, value: Any, pictures: bytes | memoryview = b"") -> None:
        message = pickle.dumps(value)
        self._socket.sendall(_LENGTHS.pack(len(message), len(pictures)) + message)
        self._socket.sendall(pictures)

    def send_block(self, block: Block) -> None:
        """A block, its pictures behind it as they are: pickling them would copy them twice more."""
        self.send(dataclasses.replace(block, content=b""), block.content)

    def receive(self) -> Any:
        """What the other end sent. Raises EOFError or OSError where it is gone."""
        length, pictures = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        value = pickle.loads(self._exactly(length))  # noqa: S301 - it comes from this very program
        return dataclasses.replace(value, content=self._exactly(pictures)) if isinstance(value, Block) else value

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, count: int) -> memoryview:
        content = memoryview(bytearray(count))
        left = content
        while left:
            received = self._socket.recv_into(left)
            if not received:
                raise EOFError
            left = left[received:]
        return content
