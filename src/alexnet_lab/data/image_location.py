"""Where the bytes of an image are: in a file of its own, in a tar archive, in a parquet file."""

from __future__ import annotations

import os
from functools import lru_cache
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

LARGEST_FILE = 10**9  # bytes


class FileLocation(NamedTuple):
    """A file."""

    path: str

    def read(self) -> bytes:
        with FileIO(self.path) as file:
            size = min(os.fstat(file.fileno()).st_size, LARGEST_FILE)  # 0 of what is no common file
            content = file.read(size + 1) if size else b""
            if not size or len(content) != size:  # handed over in pieces, or grown meanwhile
                content += BufferedReader(file).read(LARGEST_FILE + 1 - len(content))
        if len(content) > LARGEST_FILE:
            raise OSError(f"it has more than {LARGEST_FILE / 1e9:.0f} GB")
        return content


class TarLocation(NamedTuple):
    """A stretch of an archive that is not compressed."""

    archive: str
    first: int
    size: int

    def read(self) -> bytes:
        archive = _opened(self.archive)
        archive.seek(self.first)
        content = archive.read(self.size)
        if len(content) < self.size:
            raise OSError(f"the archive ends {self.size - len(content)} bytes early")
        return content


class ParquetLocation(NamedTuple):
    """A row of a row group of a file as Hugging Face writes it, with the column image {bytes, path}."""

    file: str
    group: int
    row: int

    def read(self) -> bytes:
        content = _row_group(self.file, self.group)[self.row].as_py()
        if content is None:
            raise OSError("the row holds no image")
        return content


ImageLocation = FileLocation | TarLocation | ParquetLocation


@lru_cache(maxsize=4)
def _opened(archive: str) -> BinaryIO:
    return Path(archive).open("rb")


@lru_cache(maxsize=1)  # images come in order, and a row group may be large
def _row_group(file: str, group: int) -> Any:
    import pyarrow.parquet  # here, because most collections are none

    with pyarrow.parquet.ParquetFile(file) as parquet:
        column = parquet.read_row_group(group, columns=["image.bytes"], use_threads=False)["image"]
    return column.combine_chunks().field("bytes") if column.num_chunks != 1 else column.chunk(0).field("bytes")
