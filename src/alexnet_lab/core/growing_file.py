"""A file that grows by whole lines, also on a disk that is full for a while."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from alexnet_lab.core.files import write_text

log = logging.getLogger(__name__)


class GrowingFile:
    """Lines appended to a text. A line that cannot be written is kept in memory, and written before the next one."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        write_text(path, text, durable=False)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._whole = len(text.encode())  # bytes up to the end of the last line that was written whole
        self._waiting = b""
        self._warned = False

    def add(self, line: str) -> None:
        self._waiting += line.encode()
        self._write()

    def sync(self) -> None:
        """Put what was written on the disk, as far as there is room."""
        self._write()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._warn(error)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            written = os.write(self._descriptor, self._waiting)
            if written < len(self._waiting):
                os.ftruncate(self._descriptor, self._whole)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._warn(error)
            return
        self._whole += written
        self._waiting = b""
        self._warned = False

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            log.warning("%s: cannot be written (%s); its next lines wait in memory", self.path, error.strerror)
        self._warned = True
