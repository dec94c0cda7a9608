"""Whether a store is, byte for byte, what was written: every stretch of every file against its checksum."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alexnet_lab.core.parallel import map_in_order
from alexnet_lab.data.store import REMEDY, Store, StoreError, open_store

CHECKSUMS = "checksums.csv"
CHECKSUM_COLUMNS = ("file", "first_byte", "end_byte", "first_image", "last_image", "sha256")
_PIECE = 2**20


def verify_store(path: Path, advance: Callable[[int], None] = lambda count: None) -> Store:
    """Open a store and read all of it; raises StoreError naming the damaged file and images.

    advance(bytes) is called whenever so many more are read.
    """
    store = open_store(path)
    stretches: list[tuple[Path, int, int, str, str]] = []  # file, first and end byte, what it holds, SHA-256
    for name, facts in store.manifest["files"].items():
        if "sha256" in facts:
            stretches.append((store.path / name, 0, facts["bytes"], "", facts["sha256"]))
    for row in _checksums(store):
        images = f", images {row['first_image']} to {row['last_image']}," if row["first_image"] else ""
        file = store.path / row["file"]
        stretches.append((file, int(row["first_byte"]), int(row["end_byte"]), images, row["sha256"]))
    _check_covered(store, stretches)
    found = map_in_order(lambda stretch: file_facts(*stretch[:3])["sha256"], stretches)
    try:
        for (file, first, end, images, expected), sha256 in zip(stretches, found, strict=True):
            if sha256 != expected:
                raise StoreError(f"{file}:{images} is damaged (its checksum is not the manifest's); {REMEDY}")
            advance(end - first)
    except OSError as error:
        raise StoreError(f"{error.filename or store.path}: {error.strerror or error}; {REMEDY}") from error
    return store


def file_facts(file: Path, first: int = 0, end: int | None = None) -> dict[str, Any]:
    """SHA-256 and number of the bytes first to end - 1 of a file."""
    digest, count = hashlib.sha256(), 0
    with file.open("rb") as stream:
        stream.seek(first)
        while piece := stream.read(_PIECE if end is None else min(_PIECE, end - first - count)):
            digest.update(piece)
            count += len(piece)
    return {"sha256": digest.hexdigest(), "bytes": count}


def _checksums(store: Store) -> list[dict[str, str]]:
    file = store.path / CHECKSUMS
    if file_facts(file) != store.manifest["files"][CHECKSUMS]:
        raise StoreError(f"{file}: is damaged (its checksum is not the manifest's); {REMEDY}")
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, CHECKSUM_COLUMNS))[1:]  # earlier versions called two of them otherwise


def _check_covered(store: Store, stretches: list[tuple[Path, int, int, str, str]]) -> None:
    """Raise StoreError where a file has bytes that no checksum covers."""
    for name, facts in store.manifest["files"].items():
        end = 0
        for first, last in sorted(stretch[1:3] for stretch in stretches if stretch[0].name == name):
            if first != end:
                break
            end = last
        if end != facts["bytes"]:
            raise StoreError(f"{store.path / CHECKSUMS}: says nothing of byte {end} of {name}; {REMEDY}")
