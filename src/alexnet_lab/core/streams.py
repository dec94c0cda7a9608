"""Standard input, output and error, which may be closed, full, or led to a program that has ended."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import as_called

BROKEN_PIPE_EXIT_CODE = 128 + 13  # as a shell reports a program that SIGPIPE has ended


def open_closed() -> None:
    """Give the null device to those that are closed (`<&-`, `>&-`, `2>&-`).

    The next file that is opened would get their number, and with it what is printed, or be closed for a job.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            os.set_inheritable(number, True)
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(as_called(line), file=sys.stderr, flush=True)


def outliving(stream: TextIO) -> TextIO:
    """The same, but what cannot be written is dropped: for words that nobody's work may depend on."""
    return _over(_Outliving, stream)


def product(stream: TextIO) -> TextIO:
    """The same for what a program is asked for. Where nobody reads on, as in `| head`, the program ends without a
    word; another error, such as a full disk, is a UserError.
    """
    return _over(_Product, stream)


class _Outliving(io.FileIO):
    def write(self, data: Any) -> int:
        with suppress(OSError):  # no room on the disk, a terminal that is closed, a pipe that nobody reads
            return super().write(data) or 0
        return memoryview(data).nbytes


class _Product(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            # For what is still held back, and comes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise SystemExit(BROKEN_PIPE_EXIT_CODE) from None
            raise UserError(f"standard output: {error.strerror}; nothing more can be written there") from None


def _over(kind: type[io.FileIO], stream: TextIO) -> TextIO:
    stream.flush()
    file = io.BufferedWriter(kind(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        file, encoding=stream.encoding, errors="backslashreplace", line_buffering=bool(stream.line_buffering)
    )
