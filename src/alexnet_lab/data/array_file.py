"""An .npy file whose number of rows is known last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.growing_file import GrowingFile


class ArrayFile(GrowingFile):
    """Rows of one dtype and shape."""

    def __init__(self, path: Path, dtype: np.dtype[Any], row: tuple[int, ...]) -> None:
        super().__init__(path)
        self._dtype, self._row = dtype, row
        if not self.length:
            self.write_header()
        self._file.seek(0)
        np.lib.format.read_magic(self._file)  # type: ignore[no-untyped-call]
        np.lib.format.read_array_header_1_0(self._file)  # type: ignore[no-untyped-call]
        self.begin = self._file.tell()
        self.length = max(self.length, self.begin)

    @property
    def content_bytes(self) -> int:
        return self.length - self.begin

    def append_rows(self, rows: NDArray[Any]) -> None:
        self.append(rows.astype(self._dtype).tobytes())

    def cut_to(self, length: int) -> None:
        """Forget what lies behind so many bytes; 0: all rows."""
        super().cut_to(max(length, self.begin))

    def write_header(self) -> None:
        """State the number of rows. numpy pads its header for that number's digits, so it keeps its length."""
        row_bytes = int(np.prod(self._row, dtype=np.int64)) * self._dtype.itemsize
        rows = self.content_bytes // row_bytes if hasattr(self, "begin") else 0
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (rows, *self._row)})
        if self._file.tell() != getattr(self, "begin", self._file.tell()):
            raise RuntimeError(f"numpy wrote a header of {self._file.tell()} bytes, not of {self.begin}")
