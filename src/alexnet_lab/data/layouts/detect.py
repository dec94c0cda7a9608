"""Which layout a folder has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.layouts import archives, flat_validation, parquet, tree
from alexnet_lab.data.listing import Layout

LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "archives": archives.ArchivesLayout,
    "parquet": parquet.ParquetLayout,
    "kaggle": flat_validation.kaggle,
    "tiny_imagenet": flat_validation.tiny_imagenet,
    "extracted": flat_validation.extracted_imagenet,
    "train_val": tree.train_val_tree,
    "tree": tree.class_tree,
}


def find_layout(root: Path, layout: str = "auto", classes: Sequence[str] | None = None) -> Layout:
    """The layout of that name, or the one that is found. Raises UserError where the folder does not have it.

    classes: those that will be taken, () for all; they are looked for where that is quick.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    found = LAYOUTS[detect(root) if layout == "auto" else layout](root)
    if classes is not None and isinstance(found, tree.TreeLayout):
        found.check(classes)
    return found


def detect(root: Path) -> str:
    """The name of the layout, by what lies in the folder; raises UserError where it may be read in two ways."""
    if (root / archives.TRAIN).is_file() or (root / archives.VAL).is_file():
        return "archives"
    if parquet.parquet_files(root)[0]:
        return "parquet"
    if any((root / name).exists() for name in (flat_validation.KAGGLE_LIST, *flat_validation.KAGGLE_FOLDERS)):
        return "kaggle"
    if (root / "val" / flat_validation.TINY_LIST).is_file():
        return "tiny_imagenet"
    if (root / "train").is_dir() and _is_flat(root / "val"):
        return "extracted"
    return tree.kind_of_tree(root)


def _is_flat(folder: Path) -> bool:
    """Whether ImageNet's validation images lie in the folder itself."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.startswith("ILSVRC2012_val_") and entry.is_file() for entry in entries)
