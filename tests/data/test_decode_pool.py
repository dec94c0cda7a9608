"""A decoder that crashes or loops for ever costs one image, and one that is killed by accident costs none."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import made_collections
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data import image_location
from alexnet_lab.data.chunk import Chunk
from alexnet_lab.data.decode_job import Job
from alexnet_lab.data.decode_pool import DecodePool
from alexnet_lab.data.image_location import FileLocation

SIDE = 16


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three images and, in the middle, a pipe that nobody writes to: who reads it waits for ever."""
    for index in (0, 1, 3):
        (tmp_path / f"{index}.jpg").write_bytes(made_collections.image(index))
    os.mkfifo(tmp_path / "2.jpg")
    return [tmp_path / f"{index}.jpg" for index in range(4)]


def decode(files: list[Path], seconds: float, chunks: int = 1) -> list[Chunk]:
    def job(number: int) -> Job:
        names, locations = [file.name for file in files], [FileLocation(str(file)) for file in files]
        return Job(names, locations, list(range(len(files))), SIDE, "pixels", seconds)

    with DecodePool(len(files) * SIDE * SIDE * 3, processes=2) as pool:
        return list(pool.chunks(chunks, job))


def test_an_image_that_takes_too_long_is_rejected(files: list[Path]) -> None:
    for chunk in decode(files, seconds=2, chunks=3):
        assert chunk.labels.tolist() == [0, 1, 3]
        assert [(one.path, one.reason) for one in chunk.rejected] == [("2.jpg", "takes more than 2 s to decode")]
        assert (chunk.taken, len(chunk.content)) == (4, 3 * SIDE * SIDE * 3)


def decoders() -> list[int]:
    """The processes that decode for this one."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    children = [int(word) for file in tasks for word in file.read_text().split()]
    return [child for child in children if b"decode_worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def kill_in_turn(signals: list[signal.Signals], then: Callable[[], object] = lambda: None) -> threading.Thread:
    """Send each signal to another decoder, when it has come to the pipe; `then` comes just before the last."""

    def kill() -> None:
        seen: set[int] = set()
        for index, number in enumerate(signals):
            while not (fresh := set(decoders()) - seen):
                time.sleep(0.02)
            child = fresh.pop()
            while b"wait_for_partner" not in Path(f"/proc/{child}/wchan").read_bytes():
                time.sleep(0.02)
            if index == len(signals) - 1:
                then()
            os.kill(child, number)
            seen.add(child)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


ON_LINUX = pytest.mark.skipif(not Path("/proc/self/wchan").is_file(), reason="finds the decoding process through /proc")


@ON_LINUX
def test_an_image_that_crashes_the_decoder_twice_is_rejected(files: list[Path]) -> None:
    killer = kill_in_turn([signal.SIGSEGV, signal.SIGSEGV])
    [chunk] = decode(files, seconds=60)
    killer.join()
    assert [(one.path, one.reason) for one in chunk.rejected] == [("2.jpg", "its decoder crashed (SIGSEGV)")]
    assert chunk.labels.tolist() == [0, 1, 3]


@ON_LINUX
def test_a_decoder_killed_by_accident_costs_no_image(files: list[Path]) -> None:
    def mend() -> None:
        files[2].unlink()
        files[2].write_bytes(made_collections.image(2))

    killer = kill_in_turn([signal.SIGKILL], then=mend)
    [chunk] = decode(files, seconds=60)
    killer.join()
    assert chunk.labels.tolist() == [0, 1, 2, 3]
    assert chunk.rejected == ()


def test_decoders_that_die_as_they_start_are_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "image.jpg").write_bytes(made_collections.image(0))
    with pytest.raises(UserError, match="are ended by SIGSEGV as soon as they start"):
        decode([tmp_path / "image.jpg"], seconds=60)


class Piecemeal(io.FileIO):
    """As a network disk may hand over a file."""

    def read(self, size: int = -1, /) -> bytes:
        return super().read(min(size, 7))


def test_a_file_that_comes_in_pieces_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    monkeypatch.setattr(image_location, "FileIO", Piecemeal)
    assert FileLocation(str(tmp_path / "file")).read() == bytes(range(100))
