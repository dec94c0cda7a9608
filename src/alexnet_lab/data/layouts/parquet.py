"""Parquet files as Hugging Face serves them: columns image {bytes, path} and label, in shards of each split."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.layouts.archives import file_facts
from alexnet_lab.data.layouts.tree import VAL, describe_change
from alexnet_lab.data.listing import Listing, Split
from alexnet_lab.data.places import ParquetPlace

_SHARD = re.compile(r"-(\d+)-of-(\d+)")  # "train-00000-of-00294.parquet"
_WNID = re.compile(r"n\d{8}")


class ParquetLayout:
    """train-*.parquet and validation-*.parquet, in the folder or in data/. Pictures keep the order of the rows."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._train, self._val = parquet_files(root)
        if not self._train:
            raise UserError(f"{root}: holds no train-*.parquet, nor does {root / 'data'}")
        for files in (self._train, self._val):
            _check_whole(files)

    def listing(self) -> Listing:
        train, names = self._read(self._train)
        val = self._read(self._val)[0] if self._val else None
        count = 1 + max(int(split.labels.max(initial=-1)) for split in (train, val) if split is not None)
        wnids = _wnids(train, count)
        words = dict(zip(wnids, names, strict=True)) if wnids and len(names) == count else {}
        if not wnids and len(names) < count:
            names = [str(label) for label in range(count)]
        return Listing(wnids or names, train, val, words)

    def facts(self) -> dict[str, Any]:
        return file_facts([*self._train, *self._val])

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return describe_change(self.root, self.facts(), facts)

    def _read(self, files: list[Path]) -> tuple[Split, list[str]]:
        """The pictures of a split, and the names of the classes where the files say them."""
        import pyarrow
        import pyarrow.parquet as parquet

        names: list[str] = []
        labels: list[int] = []
        places: list[ParquetPlace] = []
        class_names: list[str] = []
        for file in files:
            try:
                with parquet.ParquetFile(file) as table:
                    _check_columns(file, table.schema)
                    class_names = _class_names(table.schema_arrow) or class_names
                    for group in range(table.num_row_groups):
                        rows = table.read_row_group(group, columns=["image.path", "label"], use_threads=False)
                        paths = rows["image"].combine_chunks().field("path").to_pylist()
                        labels += rows["label"].to_pylist()
                        places += [ParquetPlace(str(file), group, row) for row in range(len(paths))]
                        first = len(names)
                        names += [f"{file.name}/{path or first + row}" for row, path in enumerate(paths)]
            except (OSError, pyarrow.ArrowException, KeyError, AttributeError) as error:
                reason = " ".join(str(error).split())
                raise UserError(
                    f"{file}: cannot be read as pictures with labels ({reason:.200}); fetch it again"
                ) from None
        if any(not isinstance(label, int) or label < 0 for label in labels):
            raise UserError(
                f"{files[0].parent}: holds rows whose label is no class number in {files[0].name} or those beside it"
            )
        return Split(names, np.array(labels, dtype=np.int64), places), class_names


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


def _check_columns(file: Path, schema: Any) -> None:
    columns = [schema.column(number).path for number in range(len(schema.names))]
    if missing := {"image.bytes", "image.path", "label"} - set(columns):
        raise UserError(f"{file}: lacks the column {min(missing)}; it has {', '.join(columns):.200}")


def _class_names(schema: Any) -> list[str]:
    """What the label numbers mean, from the description that Hugging Face's library adds to the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return [str(name) for name in features["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _wnids(train: Split, count: int) -> list[str]:
    """The WordNet number of each label, where every picture's path holds one and they agree; otherwise empty."""
    found: dict[int, str] = {}
    for name, label in zip(train.names, train.labels.tolist(), strict=True):
        match = _WNID.search(name.partition("/")[2])
        if match is None or found.setdefault(label, match[0]) != match[0]:
            return []
    return [found[label] for label in range(count)] if set(found) == set(range(count)) else []
