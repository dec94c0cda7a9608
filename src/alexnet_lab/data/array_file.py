"""An .npy file that grows at its end and can be cut back, whose number of rows is known last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayFile:
    """Rows of one dtype and shape. Opened for going on where the file is there already.

    Not a memory map: where a disk or a quota is full, writing to a map kills the process, while this
    raises OSError.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        self.path, self._dtype, self._row = path, dtype, row
        there = path.exists()
        self._file = path.open("r+b" if there else "w+b", buffering=0)
        if not there:
            self.write_header()
        self._file.seek(0)
        np.lib.format.read_magic(self._file)  # type: ignore[no-untyped-call]
        np.lib.format.read_array_header_1_0(self._file)  # type: ignore[no-untyped-call]
        self.begin = self._file.tell()
        self.length = self._file.seek(0, os.SEEK_END)  # of the file, in bytes

    @property
    def content_bytes(self) -> int:
        return self.length - self.begin

    def append(self, rows: NDArray[Any] | bytes | memoryview) -> None:
        """Rows, or their bytes."""
        left = memoryview(rows.astype(self._dtype).tobytes() if isinstance(rows, np.ndarray) else rows)
        self._file.seek(self.length)
        count = len(left)
        while left:  # one call may write less than it is given
            left = left[self._file.write(left) :]
        self.length += count

    def cut_to(self, length: int) -> None:
        """Forget what lies behind so many bytes; 0: all rows."""
        self.length = max(length, self.begin)
        self._file.truncate(self.length)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def write_header(self) -> None:
        """State the number of rows. numpy pads its header for that number's digits, so it keeps its length."""
        row_bytes = int(np.prod(self._row, dtype=np.int64)) * self._dtype.itemsize
        rows = self.content_bytes // row_bytes if hasattr(self, "begin") else 0
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (rows, *self._row)})
        if self._file.tell() != getattr(self, "begin", self._file.tell()):
            raise RuntimeError(f"numpy wrote a header of {self._file.tell()} bytes, not of {self.begin}")

    def close(self) -> None:
        self._file.close()
