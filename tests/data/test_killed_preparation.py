"""A preparation that is killed at any moment and started again ends in the very store of an undisturbed one."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import made_collections
import pytest

from conftest import HANG, SOURCE, one_thread

pytestmark = pytest.mark.slow

KILLS = 20

# As prepare.py prepares a folder, but syncing what it has every 50 ms, so that every kind of moment is met.
PROGRAM = """
import sys
from pathlib import Path
from alexnet_lab.data import store_writer
from alexnet_lab.data.layouts.detect import find_layout
from alexnet_lab.data.image_source import ImageSource
from alexnet_lab.data.prepare import prepare_store

store_writer.SECONDS_BETWEEN_SYNCS = 0.05
root, stores, packing = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
print(prepare_store(stores, ImageSource(lambda: find_layout(root), root, 48, processes=2), packing, max_bad=0.1).path)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """2,400 images, links to fewer; some cannot be read."""
    originals = [made_collections.image(seed) for seed in range(40)] + [b"no image"]
    for index, content in enumerate(originals):
        made_collections.write(tmp_path / "originals", {f"{index}.jpg": content})
    for split, count in (("train", 1000), ("val", 200)):
        for name in ("a", "b"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for index in range(count):
                original = tmp_path / "originals" / f"{index % len(originals)}.jpg"
                (tmp_path / "images" / split / name / f"{index}.jpg").hardlink_to(original)
    return tmp_path / "images"


def start(root: Path, stores: Path, packing: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(root), str(stores), packing]
    environment = one_thread() | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Path:
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    return Path(out.strip())


def assert_same_files(one: Path, other: Path) -> None:
    assert sorted(file.name for file in one.iterdir()) == sorted(file.name for file in other.iterdir())
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name


@pytest.mark.parametrize(("packing", "kills"), [("pixels", KILLS), ("jpeg", 5)])
def test_kill_9_at_random_moments(root: Path, tmp_path: Path, packing: str, kills: int) -> None:
    undisturbed = finished(start(root, tmp_path / "undisturbed", packing))
    assert (undisturbed / "quarantine.csv").is_file()
    moments = random.Random(0)
    partial = tmp_path / "stores" / f".{undisturbed.name}.partial" / "progress.npz"
    done = went_on = 0
    while done < kills:
        went_on += partial.exists()
        process = start(root, tmp_path / "stores", packing)
        if done % 4:  # most of them while it works, some while it starts
            assert process.stderr is not None
            process.stderr.readline()
        time.sleep(moments.uniform(0, 0.8))
        if process.poll() is None:
            process.kill()
            process.wait()
            done += 1
        else:  # it was quicker: that store counts too, and the next one begins anew
            assert_same_files(undisturbed, finished(process))
            shutil.rmtree(tmp_path / "stores")
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    assert went_on >= kills / 4
    assert_same_files(undisturbed, finished(start(root, tmp_path / "stores", packing)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_prepare_py_cleanly_and_it_goes_on(root: Path, tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["data=folder", f"data.root={root}", "data.image_size=48", "data.max_bad=0.1"]
    command = [sys.executable, str(SOURCE / "prepare.py"), *arguments]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=tmp_path, env=one_thread(), stderr=subprocess.PIPE, text=True)

    process = begin()
    assert process.stderr is not None
    assert "are needed" in process.stderr.readline()
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    process.send_signal(number)
    _, said = process.communicate(timeout=HANG)
    assert process.returncode == 75, said
    assert said.splitlines()[-1].endswith("the same command goes on from it")
    assert "Traceback" not in said
    assert not workers.exists() or not workers.read_text()
    process = begin()
    _, said = process.communicate(timeout=HANG)
    assert process.returncode == 0, said
    [store] = [path for path in (tmp_path / "datasets").iterdir() if not path.name.startswith(".")]
    assert_same_files(finished(start(root, tmp_path / "undisturbed", "pixels")), store)
