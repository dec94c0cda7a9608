"""From a source of images to its packed store: built once, whole or not at all, however many jobs ask."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.locks import locked
from alexnet_lab.core.progress import PreparationProgress
from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.store import SPLITS, Store, StoreError, open_store, store_key
from alexnet_lab.data.store_writer import StoreWriter, is_complete, partial_folder, put_into_place

LARGEST_REJECTED_SHARE = 0.01
JPEG_BYTES_PER_PIXEL = 0.33  # of a photograph at the store's quality, about
_SPARE_BYTES = 64 * 2**20  # for everything that is not images


class Source(Protocol):
    """Anything that yields labelled square images."""

    name: str
    image_size: int  # side of the images in pixels

    @property
    def class_names(self) -> Sequence[str]:
        """Names by class number. May look through the whole collection, as may `facts`, `count` and `chunks`."""
        ...

    def settings(self) -> dict[str, Any]:
        """What was asked for, as JSON types: sources with other settings have other stores. Quick."""
        ...

    def facts(self) -> dict[str, Any]:
        """What was found, as JSON types: for the manifest, and for `change`."""
        ...

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        """What is different from when `facts` were found, in a few words; None where nothing is.

        Quick; every_file may take a minute, and sees what was rewritten in place in a large collection too.
        """
        ...

    def count(self, split: str) -> int:
        """Images of "train" or "val"; where some cannot be read, the most that can come."""
        ...

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        """(split, chunk) of the images of each split from its start on, in order; 0 or where a chunk ended before."""
        ...


def prepare_store(
    directory: Path, source: Source, packing: str = "pixels", max_bad: float = LARGEST_REJECTED_SHARE
) -> Store:
    """The store of a source in the folder of stores `directory`, built first where it is not there.

    Its folder is store_path(...). Of several jobs that ask at once, on one machine or on several that share
    the folder, one builds and the others wait. One that was killed is continued by the next that asks.
    max_bad: the largest share of a split's images that may be unreadable.
    Raises UserError (one line): disk too full, folder not writable, store damaged, images changed since,
    too many unreadable, or what the source raises. A collection that is refused before its first image is
    read leaves nothing behind.
    """
    path = store_path(directory, source, packing)
    if store := _open_if_there(path):
        return check_unchanged(store, source)
    with _locked(path):
        if not path.exists() and is_complete(path):
            put_into_place(path)
        if path.exists():
            return check_unchanged(open_store(path), source)
        plan = _plan(path, source, packing)
        try:
            return _build(path, source, plan, max_bad)
        except OSError as error:
            raise UserError(
                f"{path}: could not be written ({error.strerror or error}); what is there is kept, "
                "and the same command goes on from it"
            ) from error


def store_path(directory: Path, source: Source, packing: str = "pixels") -> Path:
    """Where the store of a source lies, or will."""
    settings = source.settings() | ({} if packing == "pixels" else {"packing": packing})
    return Path(directory) / store_key(source.name, settings)


def discard_changed(directory: Path, source: Source, packing: str = "pixels") -> str | None:
    """Remove a store whose images have changed since; what has changed, or None where nothing is removed."""
    path = store_path(directory, source, packing)

    def change() -> str | None:
        store = _open_if_there(path)
        return source.change(store.manifest["found"], every_file=True) if store else None

    if not change():
        return None
    with _locked(path):
        changed = change()  # still: another job may have prepared the images anew
        if changed:
            beside = path.with_name(f".{path.name}.old")
            shutil.rmtree(beside, ignore_errors=True)
            path.rename(beside)
            shutil.rmtree(beside)
    return changed


def _open_if_there(path: Path) -> Store | None:
    """Raises StoreError where the store is damaged, and not where another job is just removing it."""
    try:
        return open_store(path) if path.exists() else None
    except StoreError:
        if path.exists():
            raise
        return None


def check_unchanged(store: Store, source: Source, every_file: bool = False) -> Store:
    """The store; raises UserError where its images have changed since it was prepared."""
    change = source.change(store.manifest["found"], every_file)
    if change:
        raise UserError(
            f"{change} since {store.path} was prepared; prepare them anew with python src/prepare.py, "
            "or put back what was there"
        )
    return store


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside a store, after waiting for whoever holds it."""
    with ExitStack() as stack:
        try:
            file = path.with_name(f".{path.name}.lock")
            stack.enter_context(locked(file, f"Waiting: another job is preparing {path}"))
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{path.parent}: cannot be written ({reason}); choose another folder") from error
        yield


class _Plan(NamedTuple):
    """What is to be prepared."""

    about: dict[str, Any]  # for the manifest
    counts: dict[str, int]  # images by split
    space: str  # what the store needs and what there is, in words


def _plan(path: Path, source: Source, packing: str) -> _Plan:
    """Look through the collection; raises UserError where it is not as it should be or would not fit on the disk."""
    about = {
        "source": source.name,
        "settings": source.settings(),
        "found": source.facts(),
        "image_size": source.image_size,
        "packing": packing,
        "class_names": list(source.class_names),
    }
    counts = {split: source.count(split) for split in SPLITS}
    return _Plan(about, counts, _checked_space(path, counts, source.image_size, packing))


def _build(path: Path, source: Source, plan: _Plan, max_bad: float) -> Store:
    """Write every chunk that is not there yet, and finish."""
    counts, packing, class_names = plan.counts, plan.about["packing"], plan.about["class_names"]
    print(
        f"Preparing {path}: {counts['train']:,} training and {counts['val']:,} validation images; {plan.space}",
        file=sys.stderr,
        flush=True,
    )
    if passed_over := plan.about["found"].get("passed_over"):
        print(f"Passed over, {passed_over}", file=sys.stderr, flush=True)
    with StoreWriter(path, plan.about) as writer, PreparationProgress(sum(counts.values())) as progress:
        if sum(writer.taken.values()):
            progress.start_at(sum(writer.taken.values()))
        with closing(source.chunks(dict(writer.taken), packing)) as chunks:  # ends what decodes them
            for split, chunk in chunks:
                writer.append(split, chunk)
                progress.count_unreadable(len(chunk.rejected))
                progress.advance(chunk.taken)
                _check_rejected(writer, split, counts[split], max_bad, chunk)
                if writer.taken[split] == counts[split]:
                    _check_classes(writer, split, class_names)
        for split in SPLITS:
            if writer.taken[split] < counts[split]:
                raise RuntimeError(f"{source.name}: {writer.taken[split]} of {counts[split]} images in {split}")
            _check_classes(writer, split, class_names)  # of a split that was whole before
        if change := source.change(plan.about["found"], every_file=True):
            raise UserError(f"{change} while it was prepared; the same command prepares it anew")
        progress.say("checksums")
        store = writer.finish()
        if store.manifest["rejected"]:
            progress.say(f"{store.manifest['rejected']} unreadable images, listed in {store.path / 'quarantine.csv'}")
        return store


def _check_rejected(writer: StoreWriter, split: str, count: int, max_bad: float, chunk: Chunk) -> None:
    if chunk.rejected and writer.rejected[split] > max_bad * count:
        writer.sync()
        first = chunk.rejected[0]
        raise UserError(
            f"{first.path}: cannot be read ({first.reason}), nor can over {100 * max_bad:g} % of the {count} images "
            f"in {split}; they are listed in {writer.quarantine()}: replace them, or raise data.max_bad"
        )


def _check_classes(writer: StoreWriter, split: str, class_names: Sequence[str]) -> None:
    if empty := writer.empty_classes(split):
        writer.sync()
        raise UserError(f"{split}: no image of class {class_names[empty[0]]} can be read, see {writer.quarantine()}")


def _checked_space(path: Path, counts: dict[str, int], image_size: int, packing: str) -> str:
    """How much space the store needs, in words; raises UserError when it would not fit."""
    pixels = sum(counts.values()) * image_size**2
    needed = (
        int(pixels * (3 if packing == "pixels" else JPEG_BYTES_PER_PIXEL)) + 8 * sum(counts.values()) + _SPARE_BYTES
    )
    partial = partial_folder(path)
    there = sum(file.stat().st_size for file in partial.iterdir()) if partial.is_dir() else 0
    free = shutil.disk_usage(path.parent).free + there
    space = f"{needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free"
    if free < needed:
        raise UserError(f"{path.parent}: {space}; free some space, or choose another folder with data.store_root")
    return space
