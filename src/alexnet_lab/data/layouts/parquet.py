"""Parquet files as Hugging Face serves them: columns image {bytes, path} and label, in shards of each split."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.contents import Contents, contents_of_files
from alexnet_lab.data.image_location import ParquetLocation
from alexnet_lab.data.layouts.folders import PassedOver, count_outside
from alexnet_lab.data.layouts.tree import VAL
from alexnet_lab.data.listing import Listing, Split

_SHARD = re.compile(r"-(\d+)-of-(\d+)")  # "train-00000-of-00294.parquet"
_WNID = re.compile(r"n\d{8}")


class ParquetLayout:
    """train-*.parquet and validation-*.parquet, in the folder or in data/. Images keep the order of the rows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._train, self._val = parquet_files(root)
        if not self._train:
            raise UserError(f"{root}: holds no train-*.parquet, nor does {root / 'data'}")
        for files in (self._train, self._val):
            _check_whole(files)

    def listing(self) -> Listing:
        names, limit = _classes([*self._train, *self._val], self._train)
        train = _read(self._train, limit)
        val = _read(self._val, limit) if self._val else None
        count = 1 + max(int(split.labels.max(initial=-1)) for split in (train, val) if split is not None)
        wnids = _wnids(train, count)
        words = dict(zip(wnids, names, strict=True)) if wnids and len(names) == count else {}
        passed_over = PassedOver()
        count_outside(self.root, [self._train[0].parent], passed_over)
        class_names = wnids or names or [str(label) for label in range(count)]
        return Listing(class_names, train, val, words, passed_over.line(self.root))

    def contents(self) -> Contents:
        return contents_of_files(self._train[0].parent, [*self._train, *self._val])


def _read(files: list[Path], limit: int) -> Split:
    """The images of a split. Raises UserError where a file is damaged, or has a label that is not below `limit`."""
    names: list[str] = []
    labels: list[NDArray[np.int64]] = []
    locations: list[ParquetLocation] = []
    for file in files:
        with _opened(file) as table:
            first = 0  # row of the file
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group, columns=["image.path", "label"], use_threads=False)
                paths = rows["image"].combine_chunks().field("path").to_pylist()
                labels.append(_checked_labels(rows["label"], limit, file, first))
                locations += [ParquetLocation(str(file), group, row) for row in range(len(paths))]
                number = len(names)
                names += [f"{file.name}/{path or number + row}" for row, path in enumerate(paths)]
                first += len(paths)
    return Split(names, np.concatenate([np.zeros(0, dtype=np.int64), *labels]), locations)


def _classes(files: list[Path], train: list[Path]) -> tuple[list[str], int]:
    """The names of the classes where the files say them, and how many numbers there can be."""
    names: list[str] = []
    said_by: Path | None = None
    rows = 0
    for file in files:
        with _opened(file) as table:
            _check_columns(file, table.schema, table.schema_arrow)
            rows += table.metadata.num_rows if file in train else 0
            here = _class_names(table.schema_arrow)
        if here and said_by and here != names:
            raise UserError(f"{file}: names other classes than {said_by.name}; both must be of one collection")
        if here:
            names, said_by = here, file
    return names, len(names) or rows  # each number needs a training image


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A parquet file. Raises UserError where it, or what is read of it meanwhile, is damaged."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(file) as table:
            yield table
    except (OSError, pyarrow.ArrowException, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: cannot be read as images with labels ({reason:.200}); fetch it again") from None


def _checked_labels(column: Any, limit: int, file: Path, first: int) -> NDArray[np.int64]:
    """int64 [rows]; raises UserError for the first one that is no class number."""
    import pyarrow.compute as compute

    fits = compute.fill_null(compute.and_(compute.greater_equal(column, 0), compute.less(column, limit)), False)
    if (row := compute.index(fits, False).as_py()) >= 0:
        raise UserError(
            f"{file}: row {first + row} (the first is 0) has the label {column[row].as_py()}; the class numbers are "
            f"0 to {limit - 1}, as many as there are names of classes or, without names, training images"
        )
    return np.asarray(column.cast("int64"))


def parquet_files(root: Path) -> tuple[list[Path], list[Path]]:
    """The shards of the training and of the validation split, in order."""
    for folder in (root, root / "data"):
        train = sorted(folder.glob("train-*.parquet"))
        if train:
            found = (sorted(folder.glob(f"{name}-*.parquet")) for name in VAL)
            return train, next(filter(None, found), [])
    return [], []


def _check_whole(files: list[Path]) -> None:
    """Raise UserError where the files' names speak of others that are not there."""
    shards = [(file, match) for file in files if (match := _SHARD.search(file.name))]
    there = {int(match[1]) for _, match in shards}
    for file, match in shards:
        if missing := set(range(int(match[2]))) - there:
            number = f"{min(missing):0{len(match[1])}d}"
            name = file.name[: match.start(1)] + number + file.name[match.end(1) : match.end()]
            raise UserError(f"{file.parent}: lacks {name}*.parquet ({len(missing)} of {int(match[2])} files); fetch it")


def _check_columns(file: Path, schema: Any, types: Any) -> None:
    import pyarrow

    columns = [schema.column(number).path for number in range(len(schema.names))]
    if missing := {"image.bytes", "image.path", "label"} - set(columns):
        raise UserError(f"{file}: lacks the column {min(missing)}; it has {', '.join(columns):.200}")
    if not pyarrow.types.is_integer(kind := types.field("label").type):
        raise UserError(f"{file}: its labels are {kind}; class numbers are needed, whole numbers from 0")


def _class_names(schema: Any) -> list[str]:
    """What the label numbers mean, from the description that Hugging Face's library adds to the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _wnids(train: Split, count: int) -> list[str]:
    """The WordNet number of each label, where every image's path holds one and they agree; otherwise empty."""
    found: dict[int, str] = {}
    for name, label in zip(train.names, train.labels.tolist(), strict=True):
        match = _WNID.search(name.partition("/")[2])
        if match is None or found.setdefault(label, match[0]) != match[0]:
            return []
    return [found[label] for label in range(count)] if set(found) == set(range(count)) else []
