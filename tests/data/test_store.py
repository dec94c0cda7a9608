"""The packed store: whole or not at all, built once, and damage is found."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.chunk import Chunk, Rejected, make_chunk
from alexnet_lab.data.fractals import FractalSource
from alexnet_lab.data.prepare import discard_changed, prepare_store
from alexnet_lab.data.store import StoreError, open_store, store_key
from alexnet_lab.data.store_checks import verify_store
from alexnet_lab.data.store_writer import StoreWriter
from alexnet_lab.fractals.settings import FractalSettings
from conftest import HANG

SIDE = 16
COUNTS = {"train": 12, "val": 5}


class RandomSource:
    """Random images of three classes; `stop_at` is the training image at which it fails."""

    name = "random"
    image_size = SIDE
    class_names = ("a", "b", "c")

    def __init__(self, stop_at: int | None = None, found: str = "nothing") -> None:
        self.stop_at, self.found = stop_at, found

    def settings(self) -> dict[str, Any]:
        return {"image_size": SIDE, "num_classes": 3}

    def facts(self) -> dict[str, Any]:
        return {"found": self.found}

    def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
        return None if facts == self.facts() else "random: has changed"

    def count(self, split: str) -> int:
        return COUNTS[split]

    def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
        for split, first in starts.items():
            for start in range(first, COUNTS[split], 4):
                if split == "train" and self.stop_at is not None and start + 4 > self.stop_at:
                    raise UserError("the source is gone")
                yield split, chunk(split, start, start + 4, packing)


def drawn_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(len(split))
    images = generator.integers(0, 256, (COUNTS[split], SIDE, SIDE, 3), dtype=np.uint8)
    images[..., 2] //= 4  # blue varies less than red and green
    return images, np.arange(COUNTS[split]) % 3


def chunk(split: str, first: int, end: int, packing: str = "pixels") -> Chunk:
    images, labels = drawn_split(split)
    return make_chunk(images[first:end], labels[first:end], packing)


ABOUT = {
    "source": "random",
    "settings": {"image_size": SIDE},
    "found": {},
    "image_size": SIDE,
    "packing": "pixels",
    "class_names": ["a", "b", "c"],
}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", ABOUT) as unfinished:
        for split, count in COUNTS.items():
            unfinished.append(split, chunk(split, 0, count))
        store = unfinished.finish()
    for split in COUNTS:
        images, labels = drawn_split(split)
        assert np.array_equal(store.images(split), images)
        assert np.array_equal(store.labels(split), labels)
        assert isinstance(store.images(split), np.memmap)
        assert np.array_equal(np.load(store.path / f"{split}_images.npy"), images)
    assert store.class_names == ["a", "b", "c"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]
    assert verify_store(tmp_path / "store").settings == {"image_size": SIDE}


def test_a_writer_goes_on_from_what_was_synced(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", ABOUT) as first:
        first.append("train", chunk("train", 0, 7))
        first.sync()
        first.append("train", chunk("train", 7, 9))  # not synced, so it counts for nothing
    (tmp_path / ".store.partial" / ".progress.npz.1234").write_bytes(b"as a kill leaves it")
    with StoreWriter(tmp_path / "store", ABOUT) as second:
        assert second.taken == {"train": 7, "val": 0}
        second.append("train", chunk("train", 7, 12))
        second.append("val", chunk("val", 0, 5))
        store = second.finish()
    assert np.array_equal(store.images("train"), drawn_split("train")[0])
    assert np.allclose(store.pixel_mean, drawn_split("train")[0].mean(axis=0), atol=1e-5)
    verify_store(store.path)
    assert not list(store.path.glob(".*"))


def test_a_writer_does_not_go_on_from_another_collection(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", ABOUT) as first:
        first.append("train", chunk("train", 0, 7))
        first.sync()
    with StoreWriter(tmp_path / "store", {**ABOUT, "found": {"files": 12}}) as second:
        assert second.taken == {"train": 0, "val": 0}


@pytest.mark.parametrize("split", ["train", "val"])
def test_jpegs_are_a_tenth_as_large_and_nearly_the_same(tmp_path: Path, split: str) -> None:
    y, x = np.mgrid[0:64, 0:64]
    waves = (127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7))[..., np.newaxis] * [1.0, 0.8, 0.6]
    images = np.stack([np.roll(waves, shift, axis=1) for shift in range(9)]).astype(np.uint8)
    with StoreWriter(tmp_path / "store", {**ABOUT, "image_size": 64, "packing": "jpeg"}) as unfinished:
        for part in COUNTS:
            unfinished.append(part, make_chunk(images[:5], np.arange(5) % 3, "jpeg"))
            unfinished.append(part, make_chunk(images[5:], np.arange(4) % 3, "jpeg"))
        store = unfinished.finish()
    packed = store.images(split)
    assert packed.shape == (9, 64, 64, 3)
    everything = packed[np.arange(9)]
    assert np.abs(everything.astype(int) - images).mean() < 3
    assert (store.path / f"{split}_images.npy").stat().st_size < images.nbytes / 5
    for index in (3, -1, slice(2, 8, 3), np.array([8, 0, -9])):
        assert np.array_equal(packed[index], everything[index])
    with pytest.raises(IndexError):
        packed[np.array([9])]
    assert np.allclose(store.pixel_mean, everything.mean(axis=0), atol=1e-5)  # of what training will see
    verify_store(store.path)


def test_statistics_are_those_of_the_training_images(tmp_path: Path) -> None:
    store = prepare_store(tmp_path, RandomSource())
    images = drawn_split("train")[0].astype(np.float64)
    assert np.allclose(store.pixel_mean, images.mean(axis=0), atol=1e-5)
    assert store.pixel_mean.dtype == np.float32
    covariance = np.cov(images.reshape(-1, 3).T, bias=True)
    vectors, values = store.color_eigenvectors, store.color_eigenvalues
    assert np.allclose(covariance @ vectors, vectors * values)
    assert np.all(np.diff(values) <= 0)


@pytest.mark.parametrize("label", [3, -1])
def test_a_writer_refuses_labels_without_a_class(tmp_path: Path, label: int) -> None:
    images, _ = drawn_split("train")
    with (
        StoreWriter(tmp_path / "store", ABOUT) as unfinished,
        pytest.raises(ValueError, match="3 classes"),
    ):
        unfinished.append("train", make_chunk(images[:2], np.full(2, label), "pixels"))


@pytest.mark.parametrize("stop_at", [0, 9])
def test_a_source_that_fails_is_gone_on_with(tmp_path: Path, stop_at: int) -> None:
    with pytest.raises(UserError, match="the source is gone"):
        prepare_store(tmp_path / "stores", RandomSource(stop_at))
    assert [entry.name for entry in (tmp_path / "stores").iterdir() if not entry.name.startswith(".")] == []
    mended = prepare_store(tmp_path / "stores", RandomSource())
    undisturbed = prepare_store(tmp_path / "others", RandomSource())
    assert_same_files(mended.path, undisturbed.path)
    assert [entry.name for entry in (tmp_path / "stores").iterdir()] == [mended.path.name]


def test_a_writer_killed_before_the_rename_needs_only_the_rename(tmp_path: Path) -> None:
    path = prepare_store(tmp_path, RandomSource()).path
    path.rename(path.with_name(f".{path.name}.partial"))
    assert prepare_store(tmp_path, RandomSource(stop_at=0)).path == path


def test_rejected_images_are_left_out_and_listed(tmp_path: Path) -> None:
    images, labels = drawn_split("train")
    bad = [Rejected("train/a/1.png", "truncated, alas")]
    with StoreWriter(tmp_path / "store", ABOUT) as unfinished:
        unfinished.append("train", make_chunk(images[:9], labels[:9], "pixels", bad))
        assert unfinished.taken["train"] == 10
        unfinished.append("val", chunk("val", 0, 5))
        store = unfinished.finish()
    assert np.array_equal(store.images("train"), images[:9])
    assert (store.path / "quarantine.csv").read_text().splitlines() == [
        "path,reason",
        'train/a/1.png,"truncated, alas"',
    ]
    verify_store(store.path)


def test_images_that_have_changed_are_said_and_not_mixed_in(tmp_path: Path) -> None:
    path = prepare_store(tmp_path, RandomSource()).path
    with pytest.raises(UserError, match=r"random: has changed since .* was prepared; prepare them anew"):
        prepare_store(tmp_path, RandomSource(found="more"))
    assert path.exists()
    assert discard_changed(tmp_path, RandomSource()) is None
    assert discard_changed(tmp_path, RandomSource(found="more")) == "random: has changed"
    assert prepare_store(tmp_path, RandomSource(found="more")).path == path


def test_of_two_jobs_that_find_changed_images_one_discards_the_store(tmp_path: Path) -> None:
    class Slow(RandomSource):
        """Another job is quicker, while this one looks at the images."""

        def change(self, facts: dict[str, Any], every_file: bool = False) -> str | None:
            found = super().change(facts)
            if found:
                assert discard_changed(tmp_path, RandomSource(found="more"))
                prepare_store(tmp_path, RandomSource(found="more"))
            return found

    path = prepare_store(tmp_path, RandomSource()).path
    assert discard_changed(tmp_path, Slow(found="more")) is None
    assert path.exists()


def assert_same_files(one: Path, other: Path) -> None:
    assert sorted(file.name for file in one.iterdir()) == sorted(file.name for file in other.iterdir())
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name


ARRAYS = ["train_images.npy", "train_labels.npy", "val_images.npy", "val_labels.npy", "pixel_mean.npy"]


@pytest.mark.parametrize("name", [*ARRAYS, "manifest.json", "checksums.csv"])
def test_one_flipped_bit_is_found_and_its_file_named(tmp_path: Path, name: str) -> None:
    file = prepare_store(tmp_path, RandomSource()).path / name
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=name) as error:
        verify_store(file.parent)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [*ARRAYS, "manifest.json"])
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
        prepare_store(tmp_path / "stores", RandomSource())
    assert not list(tmp_path.iterdir())


def test_the_key_names_the_settings() -> None:
    first = store_key("fractals", {"image_size": 64, "num_classes": 20, "seed": 0})
    assert first.startswith("fractals-64px-20c-")
    assert first == store_key("fractals", {"seed": 0, "num_classes": 20, "image_size": 64})
    assert first != store_key("fractals", {"image_size": 64, "num_classes": 20, "seed": 1})


def test_preparing_loads_neither_torch_nor_lightning_nor_hydra() -> None:
    program = (
        "import sys, alexnet_lab.data.prepare, alexnet_lab.data.fractals, alexnet_lab.data.image_source;"
        "print({'torch', 'lightning', 'hydra'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def prepare_in_turn(directory: Path, log: Path) -> None:
    """What one of several jobs does: it notes in `log` that it rendered, if it did."""

    class Noted(FractalSource):
        def chunks(self, starts: Mapping[str, int], packing: str) -> Generator[tuple[str, Chunk], None, None]:
            with log.open("a") as file:
                file.write(f"{' '.join(starts)}\n")
            return super().chunks(starts, packing)

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
        job.join(HANG)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert log.read_text().split() == ["train", "val"]  # once each
    spoken = [(tmp_path / f"job{i}.txt").read_text() for i in range(3)]
    assert sum("needed" in text for text in spoken) == 1
