"""Pictures in folders: train/<class>/** and val/<class>/**, or <class>/** alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.listing import Listing, Split
from alexnet_lab.data.places import FilePlace

# Names that people give to the two halves, in whatever case.
TRAIN, VAL = ("train", "training"), ("val", "valid", "validation", "test", "testing")
# Up to so many pictures a run looks at each file to see whether anything has changed, beyond that at each folder.
FEW_FILES = 50_000
LAYOUT = "pictures are expected in train/<class>/ and val/<class>/, or in <class>/ alone"

# What lies beside pictures without being meant as one. Everything else is expected to be a picture.
_OTHER_FILES = {".csv", ".db", ".html", ".ini", ".json", ".md", ".mat", ".npy", ".py", ".txt", ".xml", ".yaml", ".yml"}


class TreeLayout:
    """A folder tree: pictures lie in their class's folder or below it; hidden files and folders are passed over."""

    def __init__(self, root: Path) -> None:
        self.root = root
        folders = {name.lower(): root / name for name in class_folders(root)}  # of Val and val the latter
        self._train = next((folders[name] for name in TRAIN if name in folders), root)
        self._val = next((folders[name] for name in VAL if name in folders), None)
        if self._train is root and self._val is not None:
            if any(map(_is_folder, _entries(self._val))):
                raise UserError(f"{root}: holds {self._val.name}/ and no train/; {LAYOUT}")
            self._val = None  # it is a class of that name
        self._class_names = class_folders(self._train)
        if self._val is not None:
            val_names = class_folders(self._val)
            for here, there, names in (
                (self._train, self._val, set(val_names) - set(self._class_names)),
                (self._val, self._train, set(self._class_names) - set(val_names)),
            ):
                if names:
                    raise UserError(
                        f"{here / min(names)}: is missing ({len(names)} classes of {there.name}/ "
                        f"have no folder in {here.name}/)"
                    )
        if len(self._class_names) < 2:
            raise UserError(f"{self._train}: holds one class folder; there is nothing to tell apart")

    def listing(self) -> Listing:
        train = self._split(self._train)
        return Listing(self._class_names, train, None if self._val is None else self._split(self._val))

    def facts(self) -> dict[str, Any]:
        return tree_facts([self._train] if self._val is None else [self._train, self._val])

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return tree_change([self._train] if self._val is None else [self._train, self._val], facts, every_file)

    def _split(self, folder: Path) -> Split:
        return class_folder_split(self.root, folder, self._class_names)


def class_folder_split(root: Path, folder: Path, class_names: list[str]) -> Split:
    """The pictures of folder/<class>/**, by class and name; raises UserError where a class has none."""
    names: list[str] = []
    counts: list[int] = []
    prefix = "" if folder == root else f"{folder.relative_to(root)}/"
    for class_name in class_names:
        files = sorted(picture_files(folder / class_name))
        if not files:
            raise UserError(f"{folder / class_name}: holds no pictures; every class needs some")
        names += [f"{prefix}{class_name}/{name}" for name in files]
        counts.append(len(files))
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return Split(names, labels, [FilePlace(f"{root}/{name}") for name in names])


def class_folders(folder: Path) -> list[str]:
    """Names of the class folders, sorted; raises UserError."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name[0] != "." and _is_folder(entry))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); {LAYOUT}") from error
    if not names:
        raise UserError(f"{folder}: holds no class folders; {LAYOUT}")
    for name in names:
        if any("\udc80" <= letter <= "\udcff" for letter in name):  # as Python writes bytes that are no UTF-8
            raise UserError(f"{folder}: has a class folder {name!a}, which is not called in UTF-8; rename it")
    return names


def picture_files(folder: Path) -> Iterator[str]:
    """Paths of the pictures in a folder and below it, relative to it; raises UserError."""
    return (name for name, _ in _files(folder))


def tree_facts(folders: list[Path]) -> dict[str, Any]:
    """Number of files below the folders, their bytes and the newest time of change; and a hash of the folders' own."""
    found = [_file_facts(entry) for folder in folders for _, entry in _files(folder, links=True)]
    return {
        "files": len(found),
        "bytes": sum(facts.st_size for facts in found),
        "newest": max((facts.st_mtime_ns for facts in found), default=0),
        "folders": _folders_hash(folders),
    }


def tree_change(folders: list[Path], facts: dict[str, Any], every_file: bool) -> str | None:
    """What is different from when `facts` were found. Of many files only `every_file` sees those rewritten in place."""
    if facts["files"] > FEW_FILES and not every_file and facts["folders"] == _folders_hash(folders):
        return None
    return describe_change(folders[0].parent, tree_facts(folders), facts)


def describe_change(root: Path, now: dict[str, Any], before: dict[str, Any]) -> str | None:
    """In a few words what is different in number, bytes or newest time of change."""
    if now["files"] != before["files"]:
        return f"{root}: has changed (it holds {now['files']:,} files, not {before['files']:,})"
    if (now["bytes"], now["newest"]) != (before["bytes"], before["newest"]):
        return f"{root}: has changed (a file is newer or of another size)"
    return None


def _folders_hash(folders: list[Path]) -> str:
    """Changes when a file or folder is added, removed or renamed in a class folder; looks at no file."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in (folder, *(folder / entry.name for entry in _entries(folder) if _is_folder(entry))):
            line = f"{path.relative_to(folder.parent)}\0{path.stat().st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _files(folder: Path, links: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Pictures in a folder and below it, with their relative paths.

    links: folders in it may be links, as class folders may; further down they may not, or a link upwards would
    have no end.
    """
    for entry in _entries(folder):
        if not _is_folder(entry):
            yield entry.name, entry
        elif links or not entry.is_symlink():
            yield from ((f"{entry.name}/{name}", below) for name, below in _files(folder / entry.name))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Visible folders, and files that are not of a kind known to be something else; raises UserError."""
    try:
        return [
            entry
            for entry in os.scandir(folder)
            if entry.name[0] != "." and (_is_folder(entry) or _is_meant_as_picture(entry))
        ]
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_meant_as_picture(entry: os.DirEntry[str]) -> bool:
    """A file, or a link that leads nowhere, which cannot be read and is listed as such; no pipe or socket."""
    if Path(entry.name).suffix.lower() in _OTHER_FILES:
        return False
    try:
        return entry.is_file() or not Path(entry).exists()
    except OSError:
        return True


def _file_facts(entry: os.DirEntry[str]) -> os.stat_result:
    """Of the file, or of the link to it where that leads nowhere."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)
