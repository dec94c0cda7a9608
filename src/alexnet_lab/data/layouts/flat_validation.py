"""Training pictures in a folder a class, validation pictures all in one folder, with a list of their classes.

So lie ImageNet's extracted archives, Kaggle's CLS-LOC tree and Tiny ImageNet.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.layouts.devkit import devkit_files, read_devkit
from alexnet_lab.data.layouts.tree import class_folder_split, class_folders, picture_files, tree_change, tree_facts
from alexnet_lab.data.listing import Listing, Split
from alexnet_lab.data.places import FilePlace

# From the sorted names of the validation pictures to their classes, and all classes in words.
Classes = Callable[[list[str]], tuple[list[str], dict[str, str]]]

KAGGLE_FOLDERS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
KAGGLE_LIST, KAGGLE_WORDS = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
TINY_LIST, TINY_WORDS = "val_annotations.txt", "words.txt"


class FlatValidationLayout:
    """train/<class>/** and val/*; `classes` says to which class a validation picture belongs."""

    def __init__(self, root: Path, train: Path, val: Path, classes: Classes) -> None:
        self.root, self._train, self._val, self._classes = root, train, val, classes
        self._class_names = class_folders(train)
        if not val.is_dir():
            raise UserError(f"{val}: is missing")

    def listing(self) -> Listing:
        numbers = {name: number for number, name in enumerate(self._class_names)}
        train = class_folder_split(self.root, self._train, self._class_names)
        files = sorted(picture_files(self._val))
        classes, words = self._classes(files)
        if unknown := set(classes) - set(numbers):
            raise UserError(f"{self._train / min(unknown)}: is missing, and there are validation pictures of it")
        rows = sorted((numbers[name], file) for name, file in zip(classes, files, strict=True))
        prefix = self._val.relative_to(self.root)
        val = Split(
            [f"{prefix}/{file}" for _, file in rows],
            np.array([label for label, _ in rows], dtype=np.int64),
            [FilePlace(f"{self._val}/{file}") for _, file in rows],
        )
        return Listing(self._class_names, train, val, {name: words[name] for name in numbers if name in words})

    def facts(self) -> dict[str, Any]:
        return tree_facts([self._train, self._val])

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return tree_change([self._train, self._val], facts, every_file)


def extracted_imagenet(root: Path) -> FlatValidationLayout:
    """ImageNet's archives, extracted: train/<wnid>/*, val/ILSVRC2012_val_*.JPEG and the development kit."""
    if not devkit_files(root):
        read_devkit(root)  # raises, saying what is missing

    def classes(files: list[str]) -> tuple[list[str], dict[str, str]]:
        devkit = read_devkit(root)
        return devkit.validation_wnids(files), devkit.words

    return FlatValidationLayout(root, root / "train", root / "val", classes)


def kaggle(root: Path) -> FlatValidationLayout:
    """The tree of Kaggle's ImageNet Object Localization Challenge: ILSVRC/Data/CLS-LOC beside its lists."""
    data = next((root / top for top in KAGGLE_FOLDERS if (root / top).is_dir()), None)
    if data is None or not (root / KAGGLE_LIST).is_file():
        raise UserError(f"{root}: lacks {KAGGLE_LIST} or ILSVRC/Data/CLS-LOC/ of Kaggle's tree")

    def classes(files: list[str]) -> tuple[list[str], dict[str, str]]:
        wnids: dict[str, str] = {}
        try:
            with (root / KAGGLE_LIST).open(newline="", encoding="utf-8-sig") as stream:
                for row in csv.DictReader(stream):
                    wnids[row["ImageId"]] = row["PredictionString"].split()[0]  # "wnid x y x y wnid x y x y ..."
        except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise UserError(f"{root / KAGGLE_LIST}: cannot be read ({error}); fetch it again") from None
        words = _words(root / KAGGLE_WORDS, " ")
        return [_known(wnids, Path(file).stem, root / KAGGLE_LIST) for file in files], words

    return FlatValidationLayout(root, data / "train", data / "val", classes)


def tiny_imagenet(root: Path) -> FlatValidationLayout:
    """Tiny ImageNet: train/<wnid>/images/*, val/images/* and val/val_annotations.txt."""

    def classes(files: list[str]) -> tuple[list[str], dict[str, str]]:
        wnids: dict[str, str] = {}
        for line in _lines(root / "val" / TINY_LIST):
            name, _, rest = line.partition("\t")
            wnids[name] = rest.partition("\t")[0]
        names = [_known(wnids, Path(file).name, root / "val" / TINY_LIST) for file in files]
        return names, _words(root / TINY_WORDS, "\t")

    return FlatValidationLayout(root, root / "train", root / "val", classes)


def _known(wnids: dict[str, str], name: str, where: Path) -> str:
    if name not in wnids:
        raise UserError(f"{where}: does not say to which class {name} belongs")
    return wnids[name]


def _words(file: Path, separator: str) -> dict[str, str]:
    """Lines of class and words; empty where there is no such file."""
    if not file.is_file():
        return {}
    return {wnid: words.strip() for wnid, _, words in (line.partition(separator) for line in _lines(file))}


def _lines(file: Path) -> list[str]:
    """Raises UserError where the file cannot be read as text."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
