"""The development kit of ILSVRC-2012: which class a number means, and the validation images' numbers."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from alexnet_lab.core.errors import UserError

FOLDER, ARCHIVE = "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz"
META, GROUND_TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"


@dataclass(frozen=True)
class Devkit:
    """The numbers (ILSVRC2012_ID) are those of the organizers: not in the order of the classes' names."""

    wnids: dict[int, str]  # by number
    words: dict[str, str]  # by wnid
    ground_truth: list[int]  # number i is that of the i-th validation image in the order of names

    def validation_wnids(self, names: list[str]) -> list[str]:
        """The class of each validation image, given their sorted names; raises UserError where they are too few."""
        if len(names) != len(self.ground_truth):
            raise UserError(
                f"{len(names)} validation images and {len(self.ground_truth)} lines in {GROUND_TRUTH}: "
                "some images are missing, or the kit is another one"
            )
        return [self.wnids[number] for number in self.ground_truth]


def devkit_files(root: Path) -> list[Path]:
    """The kit that lies in a folder: its archive, or the two files of the extracted one; empty where there is none."""
    if (root / ARCHIVE).is_file():
        return [root / ARCHIVE]
    for folder in (root, root / FOLDER, root / "devkit"):
        for data in (folder, folder / "data"):
            if (data / META).is_file() and (data / GROUND_TRUTH).is_file():
                return [data / META, data / GROUND_TRUTH]
    return []


def read_devkit(root: Path) -> Devkit:
    """Read the kit that lies in a folder. Raises UserError where there is none, or it is damaged."""
    files = devkit_files(root)
    if not files:
        raise UserError(f"{root}: lacks {ARCHIVE}, which says to which classes the validation images belong")
    try:
        read = _from_archive(files[0]) if files[0].name == ARCHIVE else lambda name: _named(files, name).read_bytes()
        wnids, words = _classes(read(META))
        numbers = [int(line) for line in read(GROUND_TRUTH).split()]
        unknown = set(numbers) - set(wnids)
        if unknown:
            raise ValueError(f"{GROUND_TRUTH} has number {min(unknown)}, which {META} does not")
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{files[0]}: is no development kit, or damaged ({reason}); fetch it again") from None
    return Devkit(wnids, words, numbers)


def _from_archive(archive: Path) -> Callable[[str], bytes]:
    """Read members into memory: nothing is written, whatever they are called."""
    with tarfile.open(archive) as file:
        members = {Path(member.name).name: member for member in file if member.isreg()}
        contents = {}
        for name in (META, GROUND_TRUTH):
            stream = file.extractfile(members[name])
            assert stream is not None  # it is a regular file
            contents[name] = stream.read()
    return contents.__getitem__


def _named(files: list[Path], name: str) -> Path:
    return next(file for file in files if file.name == name)


def _classes(meta: bytes) -> tuple[dict[int, str], dict[str, str]]:
    """Wnid by number, and words by wnid, of the rows that are classes and not groups of classes."""
    from scipy.io import loadmat  # here, because it takes a moment to load

    synsets = np.atleast_1d(loadmat(BytesIO(meta), squeeze_me=True)["synsets"])
    leaves = [row for row in synsets if int(row["num_children"]) == 0]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in leaves}
    if len(wnids) != len(leaves):
        raise ValueError("two classes have one number")
    return wnids, {str(row["WNID"]): str(row["words"]) for row in leaves}
