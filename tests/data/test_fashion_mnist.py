"""Fashion-MNIST's idx files: read as published, and refused in a line where they cannot be right."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data.fashion_mnist import FILES, FashionMnistSource
from alexnet_lab.data.fetch import ARCHIVES
from alexnet_lab.data.prepare import prepare_store
from data.test_fetch import publish, serving

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    return head + array.astype(np.uint8).tobytes()


def small_files() -> dict[str, bytes]:
    """The four files, with 40 training and 20 test photographs."""
    generator = np.random.default_rng(0)
    files = {}
    for (images, labels), count in zip(FILES.values(), (40, 20), strict=True):
        files[images] = idx(generator.integers(0, 256, (count, 28, 28)))
        files[labels] = idx(np.arange(count) % 10)
    return files


def lay(folder: Path, files: dict[str, bytes], *, compressed: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(content) if compressed else content)
    return folder


@pytest.mark.parametrize("compressed", [False, True])
def test_the_four_files_are_read_as_they_are(tmp_path: Path, compressed: bool) -> None:
    files = small_files()
    arrays = FashionMnistSource(lay(tmp_path / "root", files, compressed=compressed), 28).load()
    images, labels = arrays["train"]
    expected = np.frombuffer(files["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(40, 28, 28)
    assert (images == expected[..., None]).all()
    assert images.shape == (40, 28, 28, 3)
    assert labels.tolist() == [number % 10 for number in range(40)]
    assert len(arrays["val"][1]) == 20


def test_a_part_of_each_class_is_taken_and_the_test_set_stays_whole(tmp_path: Path) -> None:
    root = lay(tmp_path / "root", small_files())
    arrays = FashionMnistSource(root, 28, train_fraction=0.5).load()
    assert np.bincount(arrays["train"][1]).tolist() == [2] * 10
    assert len(arrays["val"][1]) == 20
    other = FashionMnistSource(root, 28, train_fraction=0.5, split_seed=1).load()
    assert not np.array_equal(arrays["train"][0], other["train"][0])


def test_what_is_not_there_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {f"{name}.gz": gzip.compress(content) for name, content in small_files().items()}
    for name, content in published.items():
        publish(monkeypatch, name, content)
    with serving(published) as (_, url):
        store = prepare_store(tmp_path / "stores", FashionMnistSource(tmp_path / "down", 32, url=url), max_bad=0)
    assert store.images("train").shape == (40, 32, 32, 3)
    assert sorted(file.name for file in (tmp_path / "down").glob("*.gz")) == sorted(published)
    assert all(f"{name}.gz" in ARCHIVES for names in FILES.values() for name in names)


WRONG = {
    "another magic number": ("train-images-idx3-ubyte", lambda content: b"\0\0\x0d\3" + content[4:], "no idx file"),
    "cut short": ("train-images-idx3-ubyte", lambda content: content[:-1], "has 31359"),
    "a size that no file has": ("t10k-images-idx3-ubyte", lambda content: content[:4] + b"\xff" * 12, "has 0"),
    "a label that no class has": ("t10k-labels-idx1-ubyte", lambda content: content[:-1] + b"\x0a", "label 10"),
    "labels of other images": ("t10k-labels-idx1-ubyte", lambda _: idx(np.zeros(19)), "19 labels for the 20 images"),
    "images of another size": ("t10k-images-idx3-ubyte", lambda _: idx(np.zeros((20, 27, 28))), "28 x 28"),
    "a damaged archive": ("train-labels-idx1-ubyte", lambda content: gzip.compress(content)[:-9], "cannot be read"),
    "an archive without end": ("train-labels-idx1-ubyte", lambda _: gzip.compress(bytes(2**27)), "larger than"),
    "nothing": ("train-labels-idx1-ubyte", lambda _: b"", "no idx file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_cannot_be_right_is_one_line(case: str, tmp_path: Path) -> None:
    name, change, said = WRONG[case]
    files = small_files()
    files[name] = change(files[name])
    with pytest.raises(UserError) as error:
        FashionMnistSource(lay(tmp_path / "root", files), 28).load()
    assert name in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_photographs(program, tmp_path: Path) -> None:
    """Counts and mean as their publisher states them; and a short run learns from a part of them."""
    arrays = FashionMnistSource(DEBIAN, 28).load()
    assert {split: np.bincount(labels).tolist() for split, (_, labels) in arrays.items()} == {
        "train": [6000] * 10,
        "val": [1000] * 10,
    }
    assert arrays["train"][0].mean() == pytest.approx(72.94, abs=0.01)  # 0.2860 of 255
    answer = program(
        "train.py", "data=fashion_mnist", f"data.root={DEBIAN}", "model=mini_fashion", "data.train_fraction=0.05",
        "optim.epochs=1", "optim.learning_rate=0.01", "logger=none", "trainer.accelerator=cpu",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "done: top-1 error" in answer.stdout + answer.stderr
