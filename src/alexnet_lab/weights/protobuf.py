"""The wire format of protocol buffers: as much of it as it takes to read another program's weights.

Source: "Encoding" in the protocol buffers documentation. Nothing in such a file is executed, and every
length is compared with what is there before it is used. The `protobuf` package takes 10 times the time for 240 MB of
weights (2.4 times, and 1.5 times the memory, where they are declared as bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = int | memoryview


class DamagedError(ValueError):
    """The bytes are not a message of protocol buffers."""


class Message:
    """The fields of one message by number; nested messages stay bytes until they are asked for.

    Raises DamagedError where a length leads beyond the end or a type of field is unknown.
    """

    def __init__(self, content: memoryview) -> None:
        self.fields: dict[int, list[Value]] = {}
        for number, value in _fields(content):
            self.fields.setdefault(number, []).append(value)

    def messages(self, number: int) -> list[Message]:
        return [Message(content) for content in self.chunks(number)]

    def chunks(self, number: int) -> list[memoryview]:
        """Every occurrence of a field of bytes, or of fixed-size numbers packed or one by one."""
        found = self.fields.get(number, [])
        if not all(isinstance(value, memoryview) for value in found):
            raise DamagedError(f"field {number} is a number where bytes belong")
        return [value for value in found if isinstance(value, memoryview)]

    def text(self, number: int) -> str:
        """The last occurrence counts, as the format says; "" where there is none."""
        found = self.chunks(number)
        try:
            return bytes(found[-1]).decode() if found else ""
        except UnicodeDecodeError:
            raise DamagedError(f"field {number} is not text") from None

    def integers(self, number: int) -> list[int]:
        """A repeated whole number, packed or one by one."""
        numbers: list[int] = []
        for value in self.fields.get(number, []):
            if isinstance(value, int):
                numbers.append(value)
                continue
            position = 0
            while position < len(value):
                item, position = _varint(value, position)
                numbers.append(item)
        return numbers

    def integer(self, number: int, default: int) -> int:
        found = self.integers(number)
        return found[-1] if found else default

    def real(self, number: int, default: float) -> float:
        """A single-precision number."""
        found = self.chunks(number)
        if not found:
            return default
        if len(found[-1]) != 4:
            raise DamagedError(f"field {number} is not a single-precision number")
        return float(struct.unpack("<f", found[-1])[0])


def _fields(content: memoryview) -> Iterator[tuple[int, Value]]:
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise DamagedError("a field has number 0")
        if kind == VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if kind == BYTES:
            length, position = _varint(content, position)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise DamagedError(f"field {number} is of unknown type {kind}")
        if length > len(content) - position:
            raise DamagedError(f"field {number} ends beyond the end")
        yield number, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, 7 bits a byte, and where the next thing begins."""
    number = 0
    for index in range(10):
        if position >= len(content):
            raise DamagedError("a number ends beyond the end")
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position
    raise DamagedError("a number is longer than 10 bytes")
