"""Images in folders: train/<class>/** and val/<class>/**, or <class>/** alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.contents import Contents, Found
from alexnet_lab.data.image_location import FileLocation
from alexnet_lab.data.layouts.folders import (
    NOWHERE,
    OUTSIDE,
    PassedOver,
    count_outside,
    folders_below,
    images_below,
    same_name,
    scan,
)
from alexnet_lab.data.listing import Listing, Split, choose_classes

# Names that people give to the two halves, in whatever case.
TRAIN, VAL = ("train", "training"), ("val", "valid", "validation", "test", "testing")
_UNLABELLED = ("test", "testing")  # whose images may lie there without classes
LAYOUT = "images are expected in train/<class>/ and val/<class>/, or in <class>/ alone (data.layout=tree)"


class TreeLayout:
    """Images in their class's folder or below it: of a training and perhaps a validation folder, or of the root."""

    def __init__(self, root: Path, train: Path, val: Path | None) -> None:
        self.root, self._train, self._val = root, train, val
        self._folders = {folder: class_folders(folder) for folder in (train, val) if folder is not None}
        self._class_names = sorted(set().union(*self._folders.values()))
        if len(self._class_names) < 2:
            raise UserError(f"{train}: holds one class folder; there is nothing to tell apart")

    def check(self, classes: Sequence[str]) -> None:
        """Raise UserError where one of these classes, or of all where none are named, lacks a folder."""
        names = self._class_names
        if classes:
            nothing = Split([], np.zeros(0, dtype=np.int64), [])
            names = choose_classes(Listing(names, nothing, None), classes).class_names
        for here, folders in self._folders.items():
            if lacking := [name for name in names if name not in folders]:
                [there] = (folder.name for folder in self._folders if folder != here)
                raise UserError(
                    f"{here / lacking[0]}: is missing ({len(lacking)} classes of {there}/ have no folder in "
                    f"{here.name}/); data.classes can leave classes out"
                )

    def listing(self) -> Listing:
        passed_over = PassedOver()
        train, val = (
            None if folder is None else class_folder_split(self.root, folder, self._class_names, passed_over)
            for folder in (self._train, self._val)
        )
        assert train is not None
        if self._train != self.root:
            count_loose(self.root, passed_over)
            count_outside(self.root, list(self._folders), passed_over)
        return Listing(self._class_names, train, val, passed_over=passed_over.line(self.root))

    def contents(self) -> Contents:
        return tree_contents(self.root, self._folders)


def class_tree(root: Path) -> TreeLayout:
    """Each folder is a class, whatever it is called."""
    return TreeLayout(root, root, None)


def train_val_tree(root: Path) -> TreeLayout:
    """train/<class>/** and val/<class>/**; where there is no val/, or a test/ without classes, train/ alone."""
    names = _folder_names(root)
    train = [
        name for half in TRAIN for name in reversed(names) if name.lower() == half
    ]  # of Train and train the latter
    val = [name for half in VAL for name in reversed(names) if name.lower() == half]
    if not train:
        lacking = f"holds {val[0]}/ and no train/" if val else "holds no train/"
        raise UserError(f"{root}: {lacking}; {LAYOUT}")
    sorted_into_classes = [name for name in val if _folder_names(root / name)]
    labelled = sorted_into_classes or [name for name in val if name.lower() not in _UNLABELLED]
    return TreeLayout(root, root / train[0], root / labelled[0] if labelled else None)


def kind_of_tree(root: Path) -> str:
    """The one of the two layouts above that is meant; raises UserError where that may be either."""
    names = _folder_names(root)
    within = {name: set(_folder_names(root / name)) for name in names if name.lower() in (*TRAIN, *VAL)}
    if not within:
        return "tree"
    others = [name for name in names if name not in within and _holds_images(root / name)]
    if others and not any(within.values()):
        return "tree"
    train, val = (set().union(*(within[name] for name in within if name.lower() in half)) for half in (TRAIN, VAL))
    if not others or not train:
        return "train_val"
    if len(train & val) >= 2 and not any(train & val & set(_folder_names(root / name)) for name in others):
        return "train_val"  # two halves with the same classes, and something else beside them
    parts = " and ".join(f"{name}/" for name in within if within[name])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise UserError(
        f"{root}: may be meant in two ways: the folders in {parts} are the classes (data.layout=train_val), or each "
        f"folder is a class, {', '.join(others[:3])}{more} as {parts} (data.layout=tree); say which"
    )


def class_folder_split(root: Path, folder: Path, class_names: list[str], passed_over: PassedOver) -> Split:
    """The images of folder/<class>/**, by class and name; of a class that has no folder there are none."""
    names: list[str] = []
    counts: list[int] = []
    folders = class_folders(folder)
    count_loose(folder, passed_over)
    prefix = "" if folder == root else f"{folder.relative_to(root)}/"
    for class_name in class_names:
        inside = folders.get(class_name)
        files = sorted(image_files(folder / inside, passed_over)) if inside is not None else []
        names += [f"{prefix}{inside}/{name}" for name in files]
        counts.append(len(files))
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return Split(names, labels, [FileLocation(f"{root}/{name}") for name in names])


def class_folders(folder: Path) -> dict[str, str]:
    """What the class folders are called, by the classes' names, sorted; raises UserError."""
    names = [entry.name for entry in scan(folder, PassedOver())[0]]
    if not names:
        raise UserError(f"{folder}: holds no class folders; {LAYOUT}")
    folders: dict[str, str] = {}
    for name in names:
        if any("\udc80" <= letter <= "\udcff" for letter in name):  # as Python writes bytes that are no UTF-8
            raise UserError(f"{folder}: has a class folder {name!a}, which is not called in UTF-8; rename it")
        if folders.setdefault(same_name(name), name) != name:
            raise UserError(
                f"{folder}: has two class folders that look alike, {folders[same_name(name)]!a} and {name!a}, which "
                "Unicode holds for one name; rename or join them"
            )
    return dict(sorted(folders.items()))


def count_loose(folder: Path, passed_over: PassedOver) -> None:
    """Count what lies in a folder of folders beside these."""
    for entry in scan(folder, passed_over)[1]:
        if Path(entry.path).exists():
            passed_over.add(OUTSIDE, f"{folder.name}/")
        else:
            passed_over.add(NOWHERE, entry.path)


def image_files(folder: Path, passed_over: PassedOver) -> list[str]:
    """Paths of the images in a folder and below it, relative to it; raises UserError."""
    return [name for name, _ in images_below(folder, passed_over)]


def tree_contents(
    root: Path, halves: Mapping[Path, Mapping[str, str]], flat: Path | None = None, label_files: Sequence[Path] = ()
) -> Contents:
    """The class folders of the halves, and what lies in and below them and the folder `flat`."""
    flat_folders = [flat] if flat else []

    def found() -> Found:
        for folder in [*(half / name for half, folders in halves.items() for name in folders.values()), *flat_folders]:
            top = str(folder.relative_to(root))
            for prefix, path, images in folders_below(folder, PassedOver()):
                yield f"{top}/{prefix}".removesuffix("/"), path
                yield from ((f"{top}/{prefix}{entry.name}", entry) for entry in images)

    first = next(iter(halves))
    above = first if first == root else first.parent  # where halves are swapped
    class_names = sorted(set().union(*halves.values()))
    return Contents(root, class_names, [above, *halves, *flat_folders], label_files, found)


def _folder_names(folder: Path) -> list[str]:
    return [entry.name for entry in scan(folder, PassedOver())[0]]


def _holds_images(folder: Path) -> bool:
    return next(images_below(folder, PassedOver()), None) is not None
