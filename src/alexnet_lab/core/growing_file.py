"""Files that grow at their end and can be cut back, also on a disk that is full for a while."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from alexnet_lab.core.files import write_text

log = logging.getLogger(__name__)


class GrowingFile:
    """Bytes are appended whole or not at all. Opened for going on where the file is there already.

    Not a memory map: where a disk or a quota is full, writing to a map kills the process, while this
    raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self.length = self._file.seek(0, os.SEEK_END)  # in bytes

    def append(self, content: bytes | memoryview) -> None:
        left = memoryview(content)
        self._file.seek(self.length)
        try:
            while left:  # one call may write less than it is given
                left = left[self._file.write(left) :]
        except OSError:
            self.cut_to(self.length)
            raise
        self.length = self._file.tell()

    def cut_to(self, length: int) -> None:
        """Forget what lies behind so many bytes."""
        self.length = self._file.truncate(length)

    def sync(self) -> None:
        """Put what was written on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class GrowingText(GrowingFile):
    """Lines appended to a text. A line that cannot be written is kept in memory, and written before the next one."""

    def __init__(self, path: Path, text: str) -> None:
        write_text(path, text, durable=False)
        super().__init__(path)
        self._waiting = b""
        self._warned = False

    def add(self, line: str) -> None:
        self._waiting += line.encode()
        self._write()

    def sync(self) -> None:
        """As far as there is room."""
        self._write()
        try:
            super().sync()
        except OSError as error:
            self._warn(error)

    def close(self) -> None:
        self.sync()
        super().close()

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            self.append(self._waiting)
        except OSError as error:
            self._warn(error)
            return
        self._waiting = b""
        self._warned = False

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            log.warning("%s: cannot be written (%s); its next lines wait in memory", self.path, error.strerror)
        self._warned = True
