"""Whether a collection still is the one that was prepared: its classes, its files and what its label files say."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.store_checks import file_facts

# Up to so many files a run looks at each of them to see whether anything has changed, beyond that at each folder.
FEW_FILES = 50_000

Found = Iterator[tuple[str, Path | os.DirEntry[str]]]


@dataclass(frozen=True)
class Contents:
    """What lies in a collection's folder, of all that decides which image has which label."""

    root: Path
    class_names: Sequence[str]  # where they are known before the files are read
    parents: Sequence[Path]  # the folders in which class folders or files could be swapped
    label_files: Sequence[Path]  # those that may be there; their bytes count
    found: Callable[[], Found]  # folders and files with paths relative to root, in one order, a folder before its files

    def facts(self) -> dict[str, Any]:
        """For a manifest, as JSON types. Looks at every file; raises UserError where one cannot be looked at."""
        listed, numbered, files = hashlib.sha256(), hashlib.sha256(), 0
        facts = self._quick_facts()
        try:
            folders = {self._relative(folder): folder.stat().st_mtime_ns for folder in self.parents}
            for name, entry in self.found():
                found = _stat(entry)
                if stat.S_ISDIR(found.st_mode):
                    folders[name] = found.st_mtime_ns
                    continue
                files += 1
                listed.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
                numbered.update(f"{name}\0{found.st_ino}\n".encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise UserError(f"{error.filename or self.root}: cannot be read ({error.strerror or error})") from error
        return {
            **facts,
            "folders": folders,  # time of change by path
            "files": files,
            "list": listed.hexdigest(),  # path, size and time of change of each
            "numbers": numbered.hexdigest(),  # path and inode number of each
        }

    def change(self, before: dict[str, Any], every_file: bool = False) -> str | None:
        """What is different from when the facts `before` were found, in a few words; None where nothing is.

        Of more than FEW_FILES only `every_file` sees those that were rewritten in place. Raises UserError.
        """
        if "list" not in before:
            return f"{self.root}: may have changed (an earlier version of this program kept no list of its files)"
        if before["files"] > FEW_FILES and not every_file and self._folders_are_as_before(before):
            return None
        now, reasons = self.facts(), []
        if now["classes"] != before["classes"]:
            reasons.append("it has other class folders")
        if now["files"] != before["files"]:
            reasons.append(f"it holds {now['files']:,} files, not {before['files']:,}")
        if now["labels"] != before["labels"]:
            names = {name for name, _ in set(now["labels"].items()) ^ set(before["labels"].items())}
            reasons.append(f"{', '.join(sorted(names))} says something else")
        # Files of one size and time that were swapped are told apart by their inode numbers. These alone say nothing,
        # because some disks number files anew whenever they are mounted; folders also change by files of no account.
        moved = now["folders"] != before["folders"] and now["numbers"] != before["numbers"]
        if not reasons and (now["list"] != before["list"] or moved):
            reasons.append("a file was moved, renamed or rewritten")
        return f"{self.root}: has changed ({', '.join(reasons)})" if reasons else None

    def _quick_facts(self) -> dict[str, Any]:
        names = "\n".join(self.class_names).encode("utf-8", "surrogateescape")
        try:
            labels = {self._relative(file): file_facts(file)["sha256"] for file in self.label_files if file.is_file()}
        except OSError as error:
            raise UserError(f"{error.filename or self.root}: cannot be read ({error.strerror or error})") from error
        return {"classes": hashlib.sha256(names).hexdigest(), "labels": labels}

    def _folders_are_as_before(self, before: dict[str, Any]) -> bool:
        """Whether nothing was added, removed or renamed: that would have changed the time of a folder."""
        folders: dict[str, int] = before["folders"]
        if any(before[name] != value for name, value in self._quick_facts().items()):
            return False
        if not folders.keys() >= {self._relative(folder) for folder in self.parents}:
            return False
        try:
            return all((self.root / name).stat().st_mtime_ns == time for name, time in folders.items())
        except OSError:
            return False

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.root))


def contents_of_files(
    folder: Path, files: Sequence[Path], label_files: Sequence[Path] = (), class_names: Sequence[str] = ()
) -> Contents:
    """Of a collection that is a few files in a folder."""
    return Contents(folder, class_names, [folder], label_files, lambda: ((file.name, file) for file in files))


def _stat(file: Path | os.DirEntry[str]) -> os.stat_result:
    """Of the file, or of the link to it where that leads nowhere."""
    try:
        return file.stat()
    except OSError:
        return file.stat(follow_symlinks=False)
