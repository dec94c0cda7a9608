"""Training images in one folder per class, validation images all in one folder, with a list of their classes.

So lie ImageNet's extracted archives, Kaggle's CLS-LOC tree and Tiny ImageNet.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.contents import Contents
from alexnet_lab.data.image_location import FileLocation
from alexnet_lab.data.layouts.devkit import devkit_files, read_devkit
from alexnet_lab.data.layouts.folders import PassedOver, count_outside, same_name
from alexnet_lab.data.layouts.tree import class_folder_split, class_folders, image_files, tree_contents
from alexnet_lab.data.listing import Listing, Split

# From the sorted names of the validation images to their classes, and all classes in words.
Classes = Callable[[list[str]], tuple[list[str], dict[str, str]]]

KAGGLE_FOLDERS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")
KAGGLE_LIST, KAGGLE_WORDS = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
TINY_LIST, TINY_WORDS = "val_annotations.txt", "words.txt"


class FlatValidationLayout:
    """train/<class>/** and val/*; `classes` says to which class a validation image belongs, out of `label_files`."""

    def __init__(self, root: Path, train: Path, val: Path, classes: Classes, label_files: list[Path]) -> None:
        self.root, self._train, self._val = root, train, val
        self._classes, self._label_files = classes, label_files
        self._class_folders = class_folders(train)
        if not val.is_dir():
            raise UserError(f"{val}: is missing")

    def listing(self) -> Listing:
        passed_over = PassedOver()
        files = sorted(image_files(self._val, passed_over))
        classes, words = self._classes(files)
        classes = [same_name(name) for name in classes]
        class_names = sorted({*self._class_folders, *classes})
        numbers = {name: number for number, name in enumerate(class_names)}
        train = class_folder_split(self.root, self._train, class_names, passed_over)
        rows = sorted((numbers[name], file) for name, file in zip(classes, files, strict=True))
        prefix = self._val.relative_to(self.root)
        val = Split(
            [f"{prefix}/{file}" for _, file in rows],
            np.array([label for label, _ in rows], dtype=np.int64),
            [FileLocation(f"{self._val}/{file}") for _, file in rows],
        )
        count_outside(self._train.parent, [self._train, self._val], passed_over)
        in_use = {name: words[name] for name in numbers if name in words}
        return Listing(class_names, train, val, in_use, passed_over.line(self.root))

    def contents(self) -> Contents:
        return tree_contents(self.root, {self._train: self._class_folders}, self._val, self._label_files)


def extracted_imagenet(root: Path) -> FlatValidationLayout:
    """ImageNet's archives, extracted: train/<wnid>/*, val/ILSVRC2012_val_*.JPEG and the development kit."""
    if not devkit_files(root):
        read_devkit(root)  # raises, saying what is missing

    def classes(files: list[str]) -> tuple[list[str], dict[str, str]]:
        devkit = read_devkit(root)
        return devkit.validation_wnids(files), devkit.words

    return FlatValidationLayout(root, root / "train", root / "val", classes, devkit_files(root))


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
                    wnids[same_name(row["ImageId"])] = row["PredictionString"].split()[
                        0
                    ]  # "wnid x y x y wnid x y x y ..."
        except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise UserError(f"{root / KAGGLE_LIST}: cannot be read ({error}); fetch it again") from None
        words = _words(root / KAGGLE_WORDS, " ")
        return [_known(wnids, Path(file).stem, root / KAGGLE_LIST) for file in files], words

    return FlatValidationLayout(root, data / "train", data / "val", classes, [root / KAGGLE_LIST, root / KAGGLE_WORDS])


def tiny_imagenet(root: Path) -> FlatValidationLayout:
    """Tiny ImageNet: train/<wnid>/images/*, val/images/* and val/val_annotations.txt."""

    def classes(files: list[str]) -> tuple[list[str], dict[str, str]]:
        wnids: dict[str, str] = {}
        for line in _lines(root / "val" / TINY_LIST):
            name, _, rest = line.partition("\t")
            wnids[same_name(name)] = rest.partition("\t")[0]
        names = [_known(wnids, Path(file).name, root / "val" / TINY_LIST) for file in files]
        return names, _words(root / TINY_WORDS, "\t")

    lists = [root / "val" / TINY_LIST, root / TINY_WORDS]
    return FlatValidationLayout(root, root / "train", root / "val", classes, lists)


def _known(wnids: dict[str, str], name: str, where: Path) -> str:
    if same_name(name) not in wnids:
        raise UserError(f"{where}: does not say to which class {name} belongs")
    return wnids[same_name(name)]


def _words(file: Path, separator: str) -> dict[str, str]:
    """Lines of class and words; empty where there is no such file."""
    if not file.is_file():
        return {}
    return {same_name(wnid): words.strip() for wnid, _, words in (line.partition(separator) for line in _lines(file))}


def _lines(file: Path) -> list[str]:
    """Raises UserError where the file cannot be read as text."""
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
