"""Every layout in which ImageNet comes gives the same images and labels, whatever the order of the numbers."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import made_collections
import numpy as np
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.image import read_square
from alexnet_lab.data.image_source import ImageSource, Selection
from alexnet_lab.data.layouts import archives
from alexnet_lab.data.layouts.detect import detect, find_layout
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.store import Store

SIDE = 16


def prepared(root: Path, *classes: str) -> Store:
    source = ImageSource(lambda: find_layout(root), root, SIDE, Selection(classes))
    return prepare_store(root.parent / "stores", source)


def contents(store: Store, split: str) -> Counter[tuple[str, bytes]]:
    """Every image with the name of its class."""
    labels = store.labels(split)
    return Counter((store.class_names[label], store.images(split)[row].tobytes()) for row, label in enumerate(labels))


@pytest.mark.parametrize("layout", made_collections.MAKERS)
def test_every_layout_gives_the_same_images_and_labels(tmp_path: Path, layout: str) -> None:
    made_collections.MAKERS[layout](tmp_path / "made")
    assert detect(tmp_path / "made") == layout.removesuffix("_with_archived_kit")
    store = prepared(tmp_path / "made")
    assert store.class_names == ["n01440764", "n03095699", "n03792782"]
    assert contents(store, "train") == Counter(
        (wnid, read_square(file, SIDE).tobytes())
        for wnid, files in made_collections.train_images().items()
        for file in files.values()
    )
    assert contents(store, "val") == Counter(
        (made_collections.val_wnids()[name], read_square(file, SIDE).tobytes())
        for name, file in made_collections.val_images().items()
    )
    assert store.manifest["rejected"] == 0


def test_layouts_of_named_files_give_them_in_the_same_order(tmp_path: Path) -> None:
    stores = []
    for layout in ("archives", "extracted", "train_val", "kaggle"):
        made_collections.MAKERS[layout](tmp_path / layout)
        stores.append(prepared(tmp_path / layout))
    for store in stores[1:]:
        for split in ("train", "val"):
            assert np.array_equal(store.images(split), stores[0].images(split))
            assert np.array_equal(store.labels(split), stores[0].labels(split))


@pytest.mark.parametrize("layout", ["archives", "extracted", "kaggle", "parquet"])
def test_two_classes_by_name_or_in_words(tmp_path: Path, layout: str) -> None:
    made_collections.MAKERS[layout](tmp_path / "made")
    store = prepared(tmp_path / "made", "n03792782", "n03095699")
    assert store.class_names == ["n03095699", "n03792782"]
    assert np.bincount(store.labels("train")).tolist() == [4, 4]
    assert np.bincount(store.labels("val")).tolist() == [2, 2]
    in_words = ImageSource(
        lambda: find_layout(tmp_path / "made"), tmp_path, SIDE, Selection(("Mountain bike", "tench"))
    )
    assert in_words.class_names == ["n01440764", "n03792782"]
    mistyped = ImageSource(lambda: find_layout(tmp_path / "made"), tmp_path, SIDE, Selection(("tenhc", "n03792782")))
    with pytest.raises(UserError, match=r"no class tenhc; the nearest are n01440764 \(tench\)"):
        assert mistyped.class_names


def test_members_of_archives_are_never_paths(tmp_path: Path) -> None:
    made_collections.archives(tmp_path / "made")
    wnid = "n01440764"
    evil = made_collections.tar_of(
        {f"../../{name}": file for name, file in made_collections.train_images()[wnid].items()}
    )
    others = {
        f"{other}.tar": made_collections.tar_of(made_collections.train_images()[other])
        for other in ("n03095699", "n03792782")
    }
    made_collections.write(
        tmp_path / "made", {archives.TRAIN: made_collections.tar_of({f"/{wnid}.tar": evil, **others})}
    )
    assert len(prepared(tmp_path / "made").labels("train")) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "stores"]


@pytest.mark.parametrize("name", [archives.TRAIN, archives.VAL, "ILSVRC2012_devkit_t12.tar.gz"])
def test_archives_that_are_cut_off_or_missing_are_one_line(tmp_path: Path, name: str) -> None:
    made_collections.archives(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 2])
    with pytest.raises(UserError, match=name) as error:
        find_layout(tmp_path).listing()
    assert "\n" not in str(error.value)
    file.unlink()
    with pytest.raises(UserError, match=name):
        find_layout(tmp_path).listing()


def test_what_a_mac_or_a_compressor_makes_of_archives(tmp_path: Path) -> None:
    made_collections.archives(tmp_path)
    packed = made_collections.tar_of({"._n01440764.JPEG": b"Mac OS X", **made_collections.val_images()})
    (tmp_path / archives.VAL).write_bytes(packed)
    assert len(find_layout(tmp_path).listing().val.labels) == made_collections.VAL_IMAGES
    (tmp_path / archives.VAL).write_bytes(gzip.compress(packed))
    with pytest.raises(UserError, match=r"val\.tar: .*it is compressed"):
        find_layout(tmp_path).listing()


def test_lists_written_by_other_programs(tmp_path: Path) -> None:
    made_collections.kaggle(tmp_path)
    labels, mark = tmp_path / "LOC_val_solution.csv", b"\xef\xbb\xbf"  # with which Windows begins a text in UTF-8
    labels.write_bytes(mark + labels.read_bytes())
    assert len(find_layout(tmp_path).listing().val.labels) == made_collections.VAL_IMAGES
    (tmp_path / "LOC_synset_mapping.txt").write_bytes("n01440764 Forelle, Bachsaibling, Äsche\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"LOC_synset_mapping\.txt: cannot be read"):
        find_layout(tmp_path).listing()
    labels.unlink()
    with pytest.raises(UserError, match=r"lacks LOC_val_solution\.csv"):
        find_layout(tmp_path)


def test_parquet_files_that_are_not_all_there(tmp_path: Path) -> None:
    made_collections.parquet(tmp_path)
    shard = tmp_path / "data" / "train-00000-of-00002.parquet"
    shard.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"lacks train-00000-of-00002\*\.parquet \(1 of 2 files\)"):
        find_layout(tmp_path)
    (tmp_path / "elsewhere").rename(shard)
    (tmp_path / "data" / "validation-00000-of-00001.parquet").rename(tmp_path / "data" / "valid-00000-of-00001.parquet")
    assert len(find_layout(tmp_path).listing().val.labels) == made_collections.VAL_IMAGES
    parquet_of({"img": [b"x"], "label": [0]}, shard)
    with pytest.raises(UserError, match=r"lacks the column image\.bytes; it has img, label"):
        find_layout(tmp_path).listing()


def test_too_few_validation_images_are_not_given_others_labels(tmp_path: Path) -> None:
    made_collections.extracted(tmp_path)
    (tmp_path / "val" / "ILSVRC2012_val_00000003.JPEG").unlink()
    with pytest.raises(UserError, match=r"6 validation images and 7 lines"):
        find_layout(tmp_path).listing()


def test_a_store_notices_that_its_archive_was_replaced(tmp_path: Path) -> None:
    made_collections.archives(tmp_path / "made")
    prepared(tmp_path / "made")
    made_collections.write(tmp_path / "made", {archives.VAL: made_collections.tar_of(made_collections.val_images())})
    with pytest.raises(UserError, match=r"made: has changed .* since .* was prepared"):
        prepared(tmp_path / "made")


def parquet_of(columns: dict[str, list[object]], file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(columns), file)


def test_parquet_without_names_of_classes(tmp_path: Path) -> None:
    rows = [{"bytes": made_collections.image(index), "path": None} for index in range(20)]
    (tmp_path / "made").mkdir()
    labels = [index % 2 for index in range(20)]
    parquet_of({"image": rows, "label": labels}, tmp_path / "made" / "train-00000-of-00001.parquet")
    store = prepared(tmp_path / "made")
    assert store.class_names == ["0", "1"]
    assert [len(store.labels(split)) for split in ("train", "val")] == [16, 4]


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    made_collections.train_val(tmp_path)
    assert find_layout(tmp_path, "train_val").listing().class_names == sorted(made_collections.WORDS)
    with pytest.raises(UserError, match=r"lacks LOC_val_solution\.csv"):
        find_layout(tmp_path, "kaggle")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (10**9, "row 3 (the first is 0) has the label 1000000000; the class numbers are 0 to 5"),
        (2**63 - 1, "row 3 (the first is 0) has the label 9223372036854775807"),
        (6, "row 3 (the first is 0) has the label 6"),
        (-1, "row 3 (the first is 0) has the label -1"),
        (None, "row 3 (the first is 0) has the label None"),
    ],
)
def test_a_label_that_is_no_class_number(tmp_path: Path, label: int | None, said: str) -> None:
    rows = [{"bytes": made_collections.image(index), "path": None} for index in range(3)] + [{"bytes": b"", "path": ""}]
    parquet_of({"image": rows[:2], "label": [0, 1]}, tmp_path / "train-00000-of-00002.parquet")
    parquet_of({"image": rows, "label": [0, 1, 0, label]}, tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(UserError) as refused:
        find_layout(tmp_path).listing()
    assert f"train-00001-of-00002.parquet: {said}" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("labels", "kind"), [([0.0, 1.0], "double"), (["0", "1"], "string"), ([None, None], "null")])
def test_labels_that_are_no_numbers(tmp_path: Path, labels: list[object], kind: str) -> None:
    rows = [{"bytes": made_collections.image(index), "path": None} for index in range(2)]
    parquet_of({"image": rows, "label": labels}, tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match=rf"train-00000-of-00001\.parquet: its labels are {kind}"):
        find_layout(tmp_path).listing()


def test_a_label_beyond_the_names_of_the_classes(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    made_collections.parquet(tmp_path)
    shard = tmp_path / "data" / "train-00001-of-00002.parquet"
    table = pyarrow.parquet.read_table(shard)
    beyond = table.set_column(1, table.schema.field("label"), pa.array([*table["label"].to_pylist()[:-1], 3]))
    pyarrow.parquet.write_table(beyond, shard)
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet: row 4 .* has the label 3; .* are 0 to 2"):
        find_layout(tmp_path).listing()
    names = table.replace_schema_metadata({"huggingface": '{"info": {"features": {"label": {"names": ["x", "y"]}}}}'})
    pyarrow.parquet.write_table(names, shard)
    with pytest.raises(UserError, match=r"train-00001-of-00002\.parquet: names other classes than train-00000-of-0000"):
        find_layout(tmp_path).listing()
