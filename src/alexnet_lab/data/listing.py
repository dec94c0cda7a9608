"""What a collection of image files holds: names, labels and locations, before any image is read."""

from __future__ import annotations

import difflib
import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.contents import Contents
from alexnet_lab.data.image_location import ImageLocation


@dataclass(frozen=True)
class Split:
    """The images of a split, in the order in which they are stored."""

    names: Sequence[str]  # as people and quarantine.csv call them
    labels: NDArray[np.int64]
    locations: Sequence[ImageLocation]

    def select(self, rows: NDArray[np.int64]) -> Split:
        return Split([self.names[row] for row in rows], self.labels[rows], [self.locations[row] for row in rows])


@dataclass(frozen=True)
class Listing:
    """A collection. `val` is None where the collection has no validation images of its own."""

    class_names: list[str]
    train: Split
    val: Split | None
    words: dict[str, str] = field(default_factory=dict)  # class names in words, where the collection has some
    passed_over: str = ""  # what of the folder is not taken, in one line


class Layout(Protocol):
    """A way in which collections lie on the disk. Making one is quick, and raises UserError where it is not there."""

    def listing(self) -> Listing:
        """Everything, which may take a while. Raises UserError where something is missing or damaged."""
        ...

    def contents(self) -> Contents:
        """What decides which image has which label, to see whether somebody has changed it."""
        ...


def choose_classes(listing: Listing, wanted: Sequence[str]) -> Listing:
    """The classes that are asked for, by name or in words, in the order of the collection.

    Raises UserError, naming the nearest ones, for a class that is not there.
    """
    # Names that look alike are one, whichever of Unicode's forms the keyboard or the disk has written.
    numbers = {unicodedata.normalize("NFC", name): number for number, name in enumerate(listing.class_names)}
    in_words: dict[str, list[int]] = {}
    for number, name in enumerate(listing.class_names):
        words = listing.words.get(name, name)
        for word in {_plain(part) for part in (words, *words.split(","))}:
            in_words.setdefault(word, []).append(number)
    chosen: set[int] = set()
    for name in wanted:
        exact = numbers.get(unicodedata.normalize("NFC", name))
        found = [exact] if exact is not None else in_words.get(_plain(name), [])
        if len(found) > 1:
            options = ", ".join(listing.class_names[number] for number in found)
            raise UserError(f"data.classes: {name} may be any of {options}; say which")
        if not found:
            raise UserError(f"data.classes: there is no class {name}; {_nearest(name, listing, in_words)}")
        chosen.update(found)
    if len(chosen) < 2:
        raise UserError("data.classes: names one class; there is nothing to tell apart")
    keep = np.array(sorted(chosen))
    new_number = np.full(len(listing.class_names), -1)
    new_number[keep] = np.arange(len(keep))

    def kept(split: Split) -> Split:
        part = split.select(np.flatnonzero(np.isin(split.labels, keep)))
        return Split(part.names, new_number[part.labels], part.locations)

    names = [listing.class_names[number] for number in keep]
    in_use = {name: listing.words[name] for name in names if name in listing.words}
    val = kept(listing.val) if listing.val else None
    return replace(listing, class_names=names, train=kept(listing.train), val=val, words=in_use)


def split_off(listing: Listing, fraction: float, seed: int) -> Listing:
    """Take `fraction` of each class's images, at least one, as validation images.

    Which ones is a function of the seed and the images' names alone: another image more changes few others.
    """
    order = _seeded_order(listing.train, seed, "val")
    rows = np.concatenate([part[: _share(part, fraction)] for part in order])
    train = np.setdiff1d(np.arange(len(listing.train.labels)), rows)
    return replace(listing, train=listing.train.select(train), val=listing.train.select(np.sort(rows)))


def thin_out(listing: Listing, fraction: float, seed: int) -> Listing:
    """Keep `fraction` of each class's training images, at least one, chosen as `split_off` does."""
    order = _seeded_order(listing.train, seed, "train")
    rows = np.sort(np.concatenate([part[: _share(part, fraction)] for part in order]))
    return replace(listing, train=listing.train.select(rows))


def check_filled(listing: Listing) -> None:
    """Raise UserError where a class has no image in a split."""
    for name, split in (("train", listing.train), ("val", listing.val)):
        if split is None:
            continue
        empty = np.flatnonzero(np.bincount(split.labels, minlength=len(listing.class_names)) == 0)
        if len(empty):
            raise UserError(
                f"class {listing.class_names[empty[0]]}: has no images in {name}"
                + (f", nor have {len(empty) - 1} others" if len(empty) > 1 else "")
                + "; every class needs some for training and some for validation; data.classes can leave classes out"
            )


def _share(rows: NDArray[np.int64], fraction: float) -> int:
    return min(len(rows), max(1, round(fraction * len(rows))))


def _seeded_order(split: Split, seed: int, purpose: str) -> list[NDArray[np.int64]]:
    """The rows of each class, shuffled."""
    keys = [
        hashlib.sha256(f"{seed}/{purpose}/{name}".encode("utf-8", "surrogateescape")).digest() for name in split.names
    ]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    labels = split.labels[order]
    return [order[labels == label] for label in range(int(split.labels.max(initial=-1)) + 1)]


def _plain(words: str) -> str:
    return unicodedata.normalize("NFC", words.replace("_", " ").strip().casefold())


def _nearest(name: str, listing: Listing, in_words: dict[str, list[int]]) -> str:
    known = {words: f"{listing.class_names[found[0]]} ({words})" for words, found in in_words.items()}
    known |= {_plain(candidate): candidate for candidate in listing.class_names}
    near = difflib.get_close_matches(_plain(name), list(known), n=3, cutoff=0.4)
    return f"the nearest are {', '.join(known[one] for one in near)}" if near else "nothing is near it"
