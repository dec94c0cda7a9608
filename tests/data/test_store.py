"""The packed store: whole or not at all, built once, and damage is found."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_lab.data.fractals import FractalSettings, FractalSource
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.store import Rejected, StoreError, open_store, store_key, verify_store
from alexnet_lab.data.store_writer import StoreWriter
from alexnet_lab.errors import UserError

SIDE = 16
COUNTS = {"train": 12, "val": 5}


class RandomSource:
    """Random pictures of three classes; `stop_at` is the training picture at which it fails."""

    name = "random"
    image_size = SIDE
    class_names = ("a", "b", "c")

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at

    def settings(self) -> dict[str, Any]:
        return {"image_size": SIDE, "num_classes": 3}

    def count(self, split: str) -> int:
        return COUNTS[split]

    def chunks(self, split: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        images, labels = pictures(split)
        for start in range(0, COUNTS[split], 4):
            if split == "train" and self.stop_at is not None and start + 4 > self.stop_at:
                raise UserError("the source is gone")
            yield start, images[start : start + 4], labels[start : start + 4]


def pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(len(split))
    images = generator.integers(0, 256, (COUNTS[split], SIDE, SIDE, 3), dtype=np.uint8)
    images[..., 2] //= 4  # blue varies less than red and green
    return images, np.arange(COUNTS[split]) % 3


def writer(path: Path) -> StoreWriter:
    return StoreWriter(path, "random", {"image_size": SIDE}, ["a", "b", "c"], SIDE, COUNTS)


def fill(store: StoreWriter) -> None:
    for split in COUNTS:
        store.write(split, 0, *pictures(split))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with writer(tmp_path / "store") as unfinished:
        fill(unfinished)
        store = unfinished.finish()
    for split in COUNTS:
        images, labels = pictures(split)
        assert np.array_equal(store.images(split), images)
        assert np.array_equal(store.labels(split), labels)
        assert isinstance(store.images(split), np.memmap)
    assert store.class_names == ["a", "b", "c"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]
    assert verify_store(tmp_path / "store").settings == {"image_size": SIDE}


def test_chunks_may_come_in_any_order(tmp_path: Path) -> None:
    images, labels = pictures("train")
    with writer(tmp_path / "store") as unfinished:
        for start in (8, 0, 4):
            unfinished.write("train", start, images[start : start + 4], labels[start : start + 4])
        unfinished.write("val", 0, *pictures("val"))
        store = unfinished.finish()
    assert np.array_equal(store.images("train"), images)


def test_statistics_are_those_of_the_training_pictures(tmp_path: Path) -> None:
    store = prepare_store(tmp_path, RandomSource())
    images = pictures("train")[0].astype(np.float64)
    assert np.allclose(store.pixel_mean, images.mean(axis=0), atol=1e-5)
    assert store.pixel_mean.dtype == np.float32
    covariance = np.cov(images.reshape(-1, 3).T, bias=True)
    vectors, values = store.color_eigenvectors, store.color_eigenvalues
    assert np.allclose(covariance @ vectors, vectors * values)
    assert np.all(np.diff(values) <= 0)


@pytest.mark.parametrize(
    ("start", "count", "label"),
    [(0, 4, 0), (10, 3, 0), (-1, 2, 0), (4, 4, 3), (4, 4, -1)],
    ids=["twice", "beyond the end", "before the start", "no such class", "negative class"],
)
def test_a_writer_refuses_what_does_not_fit(tmp_path: Path, start: int, count: int, label: int) -> None:
    images, labels = pictures("train")
    with writer(tmp_path / "store") as unfinished:
        unfinished.write("train", 0, images[:2], labels[:2])
        with pytest.raises(ValueError, match="train"):
            unfinished.write("train", start, images[:count], np.full(count, label))


def test_a_store_with_pictures_missing_does_not_appear(tmp_path: Path) -> None:
    images, labels = pictures("train")
    with writer(tmp_path / "store") as unfinished:
        unfinished.write("train", 0, images[:8], labels[:8])
        with pytest.raises(ValueError, match="4 of 12"):
            unfinished.finish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop_at", [0, 9])
def test_a_source_that_fails_leaves_nothing_behind(tmp_path: Path, stop_at: int) -> None:
    with pytest.raises(UserError, match="the source is gone"):
        prepare_store(tmp_path, RandomSource(stop_at))
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".lock")] == []
    prepare_store(tmp_path, RandomSource())  # and the next one is not hindered


def test_what_a_killed_job_left_behind_is_removed(tmp_path: Path) -> None:
    source = RandomSource()
    left_behind = tmp_path / f".{store_key(source.name, source.settings())}.partial-1234"
    left_behind.mkdir()
    prepare_store(tmp_path, source)
    assert not left_behind.exists()


def test_rejected_pictures_shorten_the_store_and_are_listed(tmp_path: Path) -> None:
    images, labels = pictures("train")
    with writer(tmp_path / "store") as unfinished:
        unfinished.write("train", 0, images[:9], labels[:9])
        unfinished.shorten("train", 9)
        unfinished.write("val", 0, *pictures("val"))
        store = unfinished.finish([Rejected("train/a/1.png", "truncated, alas")])
    assert np.array_equal(store.images("train"), images[:9])
    assert (store.path / "quarantine.csv").read_text().splitlines() == [
        "path,reason",
        'train/a/1.png,"truncated, alas"',
    ]
    verify_store(store.path)


FILES = ["train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy", "pixel_mean.npy", "manifest.json"]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_its_file_named(tmp_path: Path, name: str) -> None:
    file = prepare_store(tmp_path, RandomSource()).path / name
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=name) as error:
        verify_store(file.parent)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_missing_and_cut_files_are_found_when_a_store_is_opened(tmp_path: Path, name: str) -> None:
    file = prepare_store(tmp_path, RandomSource()).path / name
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(StoreError, match=name):
        open_store(file.parent)
    file.unlink()
    with pytest.raises(StoreError, match=name):
        open_store(file.parent)


def test_a_missing_store_and_another_version_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no prepared data"):
        open_store(tmp_path / "nowhere")
    path = prepare_store(tmp_path, RandomSource()).path
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(StoreError, match="version 99"):
        prepare_store(tmp_path, RandomSource())


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(UserError, match=r"GB are needed and 0.0 GB are free"):
        prepare_store(tmp_path, RandomSource())


def test_the_key_names_the_settings() -> None:
    first = store_key("fractals", {"image_size": 64, "num_classes": 20, "seed": 0})
    assert first.startswith("fractals-64px-20c-")
    assert first == store_key("fractals", {"seed": 0, "num_classes": 20, "image_size": 64})
    assert first != store_key("fractals", {"image_size": 64, "num_classes": 20, "seed": 1})


def test_preparing_loads_neither_torch_nor_lightning_nor_hydra() -> None:
    program = (
        "import sys, alexnet_lab.data.prepare, alexnet_lab.data.fractals, alexnet_lab.data.folder;"
        "print({'torch', 'lightning', 'hydra'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def prepare_in_turn(directory: Path, log: Path) -> None:
    """What one of several jobs does: it notes in `log` that it rendered, if it did."""

    class Noted(FractalSource):
        def chunks(self, split: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
            with log.open("a") as file:
                file.write(f"{split}\n")
            return super().chunks(split)

    sys.stderr = (log.parent / f"{multiprocessing.current_process().name}.txt").open("w")
    settings = FractalSettings(image_size=64, num_classes=4, train_images_per_class=300, val_images_per_class=5)
    assert len(prepare_store(directory, Noted(settings, threads=1)).labels("train")) == 1200
    sys.stderr.close()


def test_of_several_jobs_at_once_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    jobs = [context.Process(target=prepare_in_turn, args=(tmp_path / "stores", log), name=f"job{i}") for i in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert log.read_text().split() == ["train", "val"]
    spoken = [(tmp_path / f"job{i}.txt").read_text() for i in range(3)]
    assert sum(text.startswith("Preparing") for text in spoken) == 1
