"""A small disk that can be filled and emptied again."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path


class Disk:
    """A tmpfs of its own where this user may mount one.

    Elsewhere the writers are held to files of no more than a few bytes, which no write outgrows: the same error, but
    for its number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0

    def fill(self, *writers: int) -> None:
        if self.mounted:
            with (self.folder / "filler").open("wb") as file:
                try:
                    while True:
                        os.write(file.fileno(), bytes(4096))
                except OSError:
                    pass
        else:
            self._limit(writers, 10)

    def make_room(self, *writers: int) -> None:
        if self.mounted:
            (self.folder / "filler").unlink()
        else:
            self._limit(writers, resource.RLIM_INFINITY)

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def _limit(self, writers: tuple[int, ...], size: int) -> None:
        for writer in writers:
            resource.prlimit(writer, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
