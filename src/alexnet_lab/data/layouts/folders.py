"""What of a folder belongs to a collection. The rest is passed over, and counted."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from alexnet_lab.core.errors import UserError

# Folders and files that systems and programs put beside people's own, in lower case; hidden ones need no list.
_OF_SYSTEMS = {
    *("@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@tmp"),  # of network storage
    *("$recycle.bin", "recycler", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),  # of Windows
    *("__macosx", "icon\r", "network trash folder", "temporary items"),  # of macOS
    *("lost+found", "__pycache__"),
}
# What lies beside images without being meant as one. Everything else is expected to be an image.
_OTHER_FILES = {
    *(".cfg", ".csv", ".db", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".toml", ".tsv", ".txt"),
    *(".doc", ".docx", ".pdf", ".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml"),
    *(".h5", ".hdf5", ".m", ".mat", ".npy", ".npz", ".parquet", ".pkl", ".pt", ".pth", ".py", ".sh"),
    *(".7z", ".bz2", ".gz", ".md5", ".rar", ".sha256", ".tar", ".tgz", ".xz", ".zip"),
}
_NAMES_SAID = 8  # of each kind

HIDDEN, NO_IMAGES, OTHER_KINDS = "hidden or system files and folders", "files that are no images", "pipes and sockets"
EMPTY, NOWHERE = "folders without images", "links that lead nowhere"
UPWARDS, TWICE = "links to a folder above", "folders reached a second time"
OUTSIDE = "files outside the class folders"


class PassedOver:
    """How many things of each kind in a collection are not taken, and what they are called."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, kind: str, name: str, count: int = 1) -> None:
        """So many more, of this name."""
        self._counts.setdefault(kind, Counter())[name] += count

    def line(self, root: Path) -> str:
        """All in one line, paths as seen from the collection's root; empty where there is nothing."""
        kinds = (f"{kind}: {sum(names.values()):,} ({_most(names, root)})" for kind, names in self._counts.items())
        return "; ".join(kinds)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or put there by a system for itself."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def is_meant_as_image(name: str) -> bool:
    """Whether a file of that name is not of a kind known to be something else."""
    return Path(name).suffix.lower() not in _OTHER_FILES


def visible_member(name: str, passed_over: PassedOver) -> bool:
    """Whether an archive's member of that path would not be passed over in a folder."""
    if hidden := next((part for part in PurePosixPath(name).parts if part != ".." and is_hidden(part)), None):
        passed_over.add(HIDDEN, _shown_hidden(hidden))
    return hidden is None


def same_name(name: str) -> str:
    """The one form (Unicode's NFC) of names that look alike: macOS and Linux write an accent differently."""
    return unicodedata.normalize("NFC", name)


def scan(folder: Path, passed_over: PassedOver) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """The folders (or links to some) and the images that lie in a folder itself, by name; raises UserError.

    A link that leads nowhere counts as an image where its name is that of one: it cannot be read and is listed as such.
    """
    folders: list[os.DirEntry[str]] = []
    images: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror})") from error
    for entry in found:
        if is_hidden(entry.name):
            passed_over.add(HIDDEN, _shown_hidden(entry.name))
        elif _is_folder(entry):
            if entry.is_symlink() and _leads_upwards(Path(entry.path)):
                passed_over.add(UPWARDS, entry.path)
            else:
                folders.append(entry)
        elif not is_meant_as_image(entry.name):
            passed_over.add(NO_IMAGES, Path(entry.name).suffix.lower())
        elif _is_pipe(entry):
            passed_over.add(OTHER_KINDS, entry.name)
        else:
            images.append(entry)
    return folders, images


def images_below(folder: Path, passed_over: PassedOver) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The images in a folder and below it, with their paths relative to it; raises UserError."""
    for prefix, _, images in folders_below(folder, passed_over):
        yield from ((prefix + entry.name, entry) for entry in images)


def folders_below(folder: Path, passed_over: PassedOver) -> Iterator[tuple[str, Path, list[os.DirEntry[str]]]]:
    """A folder and those below it: what images' names begin with there ("", "a/b/"), path, images; raises UserError.

    Linked folders are read after all others. None is read twice, nor one that lies above the link: that has no end.
    """
    read: set[tuple[int, int]] = set()
    waiting, linked = [("", str(folder))], list[tuple[str, str]]()
    while waiting or linked:
        prefix, path = waiting.pop() if waiting else linked.pop()
        if (identity := _identity(path)) in read:
            passed_over.add(TWICE, path)
            continue
        read.add(identity)
        folders, images = scan(Path(path), passed_over)
        yield prefix, Path(path), images
        for entry in reversed(folders):
            (linked if entry.is_symlink() else waiting).append((f"{prefix}{entry.name}/", entry.path))
        if not folders and not images:
            passed_over.add(EMPTY, path)


def count_outside(root: Path, used: list[Path], passed_over: PassedOver) -> None:
    """Count what lies in the other folders of a collection."""
    for entry in scan(root, PassedOver())[0]:
        if root / entry.name not in used:
            if count := sum(1 for _ in images_below(root / entry.name, PassedOver())):
                passed_over.add(OUTSIDE, f"{entry.name}/", count)
            else:
                passed_over.add(EMPTY, entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_pipe(entry: os.DirEntry[str]) -> bool:
    """Something that is there and no file."""
    try:
        return not entry.is_file() and Path(entry).exists()
    except OSError:
        return False


def _leads_upwards(link: Path) -> bool:
    """Whether a link leads to a folder that it lies in, by its path or in truth."""
    target, here = link.resolve(), link.parent.absolute()
    above = (here, *here.parents, link.parent.resolve(), *link.parent.resolve().parents)
    return any(folder.resolve() == target for folder in above)


def _identity(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return found.st_dev, found.st_ino


def _shown_hidden(name: str) -> str:
    """What macOS keeps beside each file of a foreign disk has as many names as there are files."""
    return "._*" if name.startswith("._") else name


def _most(names: Counter[str], root: Path) -> str:
    """The most frequent names, in printable letters."""
    most = ((name.removeprefix(f"{root}/"), count) for name, count in names.most_common(_NAMES_SAID))
    said = [f"{name} {count:,}" if count > 1 else name for name, count in most]
    more = [f"{len(names) - _NAMES_SAID:,} more"] if len(names) > _NAMES_SAID else []
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in ", ".join(said + more))
