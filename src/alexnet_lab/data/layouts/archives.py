"""ImageNet 2012 as it is published: a tar of tars to train on, a flat tar to validate on, and the development kit.

Nothing is extracted: the images are read where they lie. A member's name is text, never a path.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.contents import Contents, contents_of_files
from alexnet_lab.data.image_location import TarLocation
from alexnet_lab.data.layouts.devkit import devkit_files, read_devkit
from alexnet_lab.data.layouts.folders import NO_IMAGES, PassedOver, count_outside, is_meant_as_image, visible_member
from alexnet_lab.data.listing import Listing, Split

_GZIP = b"\x1f\x8b"
TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"


class ArchivesLayout:
    """The three archives, under their published names, in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (TRAIN, VAL):
            if not (root / name).is_file():
                raise UserError(f"{root}: lacks {name}, one of ImageNet's three archives")

    def listing(self) -> Listing:
        devkit = read_devkit(self.root)
        print(f"Reading the tables of contents of {self.root / TRAIN} and {VAL}", file=sys.stderr, flush=True)
        passed_over = PassedOver()
        inner = sorted(_members(self.root / TRAIN, passed_over, _is_archive))
        archived = [name.removesuffix(".tar") for name, _, _ in inner]
        if len(set(archived)) < len(archived):
            raise UserError(f"{self.root / TRAIN}: holds two archives of one class")
        val = sorted(_members(self.root / VAL, passed_over, is_meant_as_image))
        wnids = devkit.validation_wnids([name for name, _, _ in val])
        class_names = sorted({*archived, *wnids})
        numbers = {name: number for number, name in enumerate(class_names)}
        names: list[str] = []
        labels: list[int] = []
        locations: list[TarLocation] = []
        for wnid, (archive, first, size) in zip(archived, inner, strict=True):
            for name, image, length in sorted(
                _members(self.root / TRAIN, passed_over, is_meant_as_image, archive, first, size)
            ):
                names.append(f"{TRAIN}/{archive}/{name}")
                labels.append(numbers[wnid])
                locations.append(TarLocation(str(self.root / TRAIN), image, length))
        train = Split(names, np.array(labels, dtype=np.int64), locations)
        rows = sorted((numbers[wnid], *member) for wnid, member in zip(wnids, val, strict=True))
        images = Split(
            [f"{VAL}/{name}" for _, name, _, _ in rows],
            np.array([label for label, *_ in rows], dtype=np.int64),
            [TarLocation(str(self.root / VAL), first, size) for _, _, first, size in rows],
        )
        count_outside(self.root, [], passed_over)
        words = {name: devkit.words.get(name, name) for name in class_names}
        return Listing(class_names, train, images, words, passed_over.line(self.root))

    def contents(self) -> Contents:
        return contents_of_files(self.root, [self.root / TRAIN, self.root / VAL], devkit_files(self.root))


def _is_archive(name: str) -> bool:
    return name.endswith(".tar")


def _members(
    archive: Path,
    passed_over: PassedOver,
    wanted: Callable[[str], bool],
    within: str = "",
    first: int = 0,
    size: int = 0,
) -> list[tuple[str, int, int]]:
    """(name, first byte, bytes) of the wanted files of a tar archive, or of the one that lies `within` it."""
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
                    if member.isreg() and visible_member(member.name, passed_over):
                        if wanted(name):
                            members.append((name, member.offset_data, member.size))
                        else:
                            passed_over.add(NO_IMAGES, Path(name).suffix.lower() or name)
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
