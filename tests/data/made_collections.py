"""Miniature collections in the layouts in which ImageNet comes, all of the same images."""

from __future__ import annotations

import csv
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

# Numbers as the organizers give them: not in the order of the classes' names. The last row is a group, not a class.
WNIDS = {1: "n03792782", 2: "n01440764", 3: "n03095699"}
WORDS = {"n01440764": "tench, Tinca tinca", "n03095699": "container ship, containership", "n03792782": "mountain bike"}
GROUP = (4, "n00001740", "entity", 3)
TRAIN_IMAGES, VAL_IMAGES = 4, 7
VAL_NUMBERS = [2, 1, 3, 3, 2, 1, 2]  # the class of ILSVRC2012_val_00000001, ...2, ...


def image(seed: int) -> bytes:
    """A JPEG of some size."""
    generator = np.random.default_rng(seed)
    size = tuple(generator.integers(20, 60, 2))
    pixels = np.asarray(Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(size))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def train_images() -> dict[str, dict[str, bytes]]:
    """By wnid and file name."""
    return {
        wnid: {f"{wnid}_{index}.JPEG": image(1000 * number + index) for index in range(TRAIN_IMAGES)}
        for number, wnid in WNIDS.items()
    }


def val_images() -> dict[str, bytes]:
    return {f"ILSVRC2012_val_{index:08d}.JPEG": image(index) for index in range(1, VAL_IMAGES + 1)}


def val_wnids() -> dict[str, str]:
    return {name: WNIDS[number] for name, number in zip(val_images(), VAL_NUMBERS, strict=True)}


def tar_of(contents: dict[str, bytes], mode: str = "w") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def devkit_contents() -> dict[str, bytes]:
    rows = [(number, wnid, WORDS[wnid], 0) for number, wnid in WNIDS.items()] + [GROUP]
    kinds = [
        ("ILSVRC2012_ID", object),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", object),
    ]
    synsets = np.array([(number, wnid, words, "", children) for number, wnid, words, children in rows], dtype=kinds)
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets.reshape(-1, 1)})
    return {
        "ILSVRC2012_devkit_t12/data/meta.mat": meta.getvalue(),
        "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": b"".join(b"%d\n" % n for n in VAL_NUMBERS),
    }


def write(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def archives(root: Path) -> None:
    """As published. The order within the archives is not that of the names."""
    inner = {f"{wnid}.tar": tar_of(dict(reversed(files.items()))) for wnid, files in train_images().items()}
    write(
        root,
        {
            "ILSVRC2012_img_train.tar": tar_of(inner),
            "ILSVRC2012_img_val.tar": tar_of(dict(reversed(val_images().items()))),
            "ILSVRC2012_devkit_t12.tar.gz": tar_of(devkit_contents(), "w:gz"),
        },
    )


def extracted(root: Path) -> None:
    """The archives, extracted, with the kit beside them."""
    train = {f"train/{wnid}/{name}": file for wnid, files in train_images().items() for name, file in files.items()}
    write(root, train | {f"val/{name}": file for name, file in val_images().items()} | devkit_contents())


def extracted_with_archived_kit(root: Path) -> None:
    train = {f"train/{wnid}/{name}": file for wnid, files in train_images().items() for name, file in files.items()}
    write(root, train | {f"val/{name}": file for name, file in val_images().items()})
    write(root, {"ILSVRC2012_devkit_t12.tar.gz": tar_of(devkit_contents(), "w:gz")})


def train_val(root: Path) -> None:
    """With the validation images sorted into folders too, as many people do."""
    train = {f"train/{wnid}/{name}": file for wnid, files in train_images().items() for name, file in files.items()}
    write(root, train | {f"val/{val_wnids()[name]}/{name}": file for name, file in val_images().items()})


def kaggle(root: Path) -> None:
    top = "ILSVRC/Data/CLS-LOC"
    train = {
        f"{top}/train/{wnid}/{name}": file for wnid, files in train_images().items() for name, file in files.items()
    }
    write(root, train | {f"{top}/val/{name}": file for name, file in val_images().items()})
    write(root, {f"{top}/test/ILSVRC2012_test_00000001.JPEG": image(99)})
    with (root / "LOC_val_solution.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["ImageId", "PredictionString"])
        for name, wnid in reversed(val_wnids().items()):
            table.writerow([Path(name).stem, f"{wnid} 1 2 30 40 {wnid} 5 6 7 8 "])
    (root / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} {words}\n" for wnid, words in sorted(WORDS.items())))


def tiny_imagenet(root: Path) -> None:
    """As Tiny ImageNet: each class's images in a folder of their own, and tables of boxes beside."""
    for wnid, files in train_images().items():
        write(root / "train" / wnid / "images", files)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("a_0.JPEG\t0\t0\t62\t62\n")
    write(root / "val" / "images", val_images())
    annotations = [f"{name}\t{wnid}\t0\t32\t44\t62\n" for name, wnid in val_wnids().items()]
    (root / "val" / "val_annotations.txt").write_text("".join(annotations))
    (root / "words.txt").write_text("n01440764\ttench, Tinca tinca\nn00001740\tentity\n")


def parquet(root: Path) -> None:
    """As Hugging Face's ILSVRC/imagenet-1k: labels in the order of the wnids, two shards, small row groups."""
    import pyarrow as pa
    import pyarrow.parquet

    label = {wnid: number for number, wnid in enumerate(sorted(WORDS))}
    train = [
        (file, f"{Path(name).stem}_{wnid}.JPEG", label[wnid])
        for wnid, files in sorted(train_images().items())
        for name, file in files.items()
    ]
    val = [
        (file, f"{Path(name).stem}_{val_wnids()[name]}.JPEG", label[val_wnids()[name]])
        for name, file in val_images().items()
    ]
    features = {
        "info": {"features": {"label": {"names": [WORDS[wnid] for wnid in sorted(WORDS)], "_type": "ClassLabel"}}}
    }
    kind = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())],
        metadata={"huggingface": json.dumps(features)},
    )
    shards = {"train-00000-of-00002": train[:7], "train-00001-of-00002": train[7:], "validation-00000-of-00001": val}
    (root / "data").mkdir(parents=True)
    for name, rows in shards.items():
        columns = [[{"bytes": file, "path": path} for file, path, _ in rows], [number for *_, number in rows]]
        table = pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, kind, strict=True)], schema=kind
        )
        pyarrow.parquet.write_table(table, root / "data" / f"{name}.parquet", row_group_size=3)


def pickled_by_python_2(batch: dict[str, object]) -> bytes:
    """As CIFAR-10's authors wrote their files: bytes are strings there."""

    class Pickler(pickle._Pickler):  # type: ignore[misc,name-defined]
        dispatch = pickle._Pickler.dispatch | {  # type: ignore[attr-defined]
            bytes: lambda self, value: self.write(b"T" + struct.pack("<i", len(value)) + value)
        }

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(batch)
    return stream.getvalue()


def cifar_archive() -> tuple[bytes, np.ndarray]:
    """CIFAR-10's archive with ten images a file, and the training images."""
    generator = np.random.default_rng(0)
    files, images = {}, []
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data = generator.integers(0, 256, (10, 3072), dtype=np.uint8)
        images.append(data.reshape(10, 3, 32, 32).transpose(0, 2, 3, 1))
        files[f"cifar-10-batches-py/{name}"] = pickled_by_python_2({"data": data, "labels": list(range(10))})
    return tar_of(files, "w:gz"), np.concatenate(images[:5])


MAKERS: dict[str, Callable[[Path], None]] = {
    "archives": archives,
    "extracted": extracted,
    "extracted_with_archived_kit": extracted_with_archived_kit,
    "train_val": train_val,
    "kaggle": kaggle,
    "parquet": parquet,
    "tiny_imagenet": tiny_imagenet,
}
