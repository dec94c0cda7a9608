"""ImageNet 2012 as it is published: a tar of tars to train on, a flat tar to validate on, and the development kit.

Nothing is extracted: the pictures are read where they lie. A member's name is text, never a path.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.layouts.devkit import devkit_files, read_devkit
from alexnet_lab.data.layouts.tree import describe_change
from alexnet_lab.data.listing import Listing, Split
from alexnet_lab.data.places import TarPlace

_GZIP = b"\x1f\x8b"
TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


class ArchivesLayout:
    """The three archives, under their published names, in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (TRAIN, VAL):
            if not (root / name).is_file():
                raise UserError(f"{root}: lacks {name}, one of ImageNet's three archives")
        self._files = [root / TRAIN, root / VAL, *devkit_files(root)]

    def listing(self) -> Listing:
        devkit = read_devkit(self.root)
        print(f"Reading the tables of contents of {self.root / TRAIN} and {VAL}", file=sys.stderr, flush=True)
        inner = sorted(_members(self.root / TRAIN), key=lambda member: member[0])
        class_names = [name.removesuffix(".tar") for name, _, _ in inner]
        numbers = {name: number for number, name in enumerate(class_names)}
        if len(numbers) < len(class_names):
            raise UserError(f"{self.root / TRAIN}: holds two archives of one class")
        names: list[str] = []
        labels: list[int] = []
        places: list[TarPlace] = []
        for label, (archive, first, size) in enumerate(inner):
            for name, picture, length in sorted(_members(self.root / TRAIN, archive, first, size)):
                names.append(f"{TRAIN}/{archive}/{name}")
                labels.append(label)
                places.append(TarPlace(str(self.root / TRAIN), picture, length))
        train = Split(names, np.array(labels, dtype=np.int64), places)
        val = sorted(_members(self.root / VAL))
        wnids = devkit.validation_wnids([name for name, _, _ in val])
        if unknown := set(wnids) - set(numbers):
            raise UserError(f"{self.root / TRAIN}: lacks the archive of class {min(unknown)}")
        rows = sorted((numbers[wnid], *member) for wnid, member in zip(wnids, val, strict=True))
        pictures = Split(
            [f"{VAL}/{name}" for _, name, _, _ in rows],
            np.array([label for label, *_ in rows], dtype=np.int64),
            [TarPlace(str(self.root / VAL), first, size) for _, _, first, size in rows],
        )
        return Listing(class_names, train, pictures, {name: devkit.words.get(name, name) for name in class_names})

    def facts(self) -> dict[str, Any]:
        return file_facts(self._files)

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return describe_change(self.root, self.facts(), facts)


def file_facts(files: list[Path]) -> dict[str, Any]:
    """Number of the files, their bytes and the newest time of change."""
    found = [file.stat() for file in files]
    return {
        "files": len(found),
        "bytes": sum(one.st_size for one in found),
        "newest": max(one.st_mtime_ns for one in found),
    }


def _members(archive: Path, within: str = "", first: int = 0, size: int = 0) -> list[tuple[str, int, int]]:
    """(name, first byte, bytes) of the visible files of a tar archive, or of the one that lies `within` it."""
    end = first + size if within else archive.stat().st_size
    members: list[tuple[str, int, int]] = []
    following = first
    try:
        with archive.open("rb") as stream:
            stream.seek(first)
            if stream.read(2) == _GZIP:
                raise tarfile.ReadError("it is compressed, which the published one is not")
            stream.seek(first)
            with tarfile.open(fileobj=stream, mode="r:") as tar:  # "r:" is without compression: it can be jumped in
                for member in tar:
                    if member.offset_data + member.size > end:
                        raise tarfile.ReadError(f"{member.name} ends behind the archive's end")
                    name = Path(member.name).name
                    if member.isreg() and not name.startswith("."):
                        members.append((name, member.offset_data, member.size))
                    following = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            stream.seek(following)
            # tarfile takes an archive that is cut off between two members for a whole one.
            if following >= end or stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("its end is missing")
    except (OSError, tarfile.TarError) as error:
        inner = f", in it {within}" if within else ""
        reason = " ".join(str(error).split())
        raise UserError(f"{archive}{inner}: is damaged or cut off ({reason}); fetch it again") from None
    return members
