"""Archives from strangers write nothing outside their folder, run nothing and take no memory."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from alexnet_lab.core.errors import UserError
from alexnet_lab.data import cifar10
from alexnet_lab.data.cifar10 import ARCHIVE, FILES, FOLDER, Cifar10Source
from alexnet_lab.data.fetch import extract

NAMES = [name for names in FILES.values() for name in names]


@pytest.fixture(autouse=True)
def fitting_checksum(monkeypatch: pytest.MonkeyPatch) -> None:
    """MD5 has been broken: a stranger's archive may have the published one's."""
    monkeypatch.setattr(cifar10, "fetch", lambda name, root, url: root / name)


class Hostile:
    """Unpickling this runs a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


class Zeros(io.RawIOBase):
    """A file without end, which takes no memory."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def batch(content: object = None) -> bytes:
    images = np.zeros((10, 3072), dtype=np.uint8)
    return pickle.dumps({"data": images, "labels": list(range(10))} if content is None else content, protocol=4)


def archive(root: Path, first: bytes | None, name: str = FOLDER + "/data_batch_1", size: int | None = None) -> None:
    """CIFAR-10's archive, in which the first file is otherwise."""
    with tarfile.open(root / ARCHIVE, "w:gz", compresslevel=1) as file:
        for place in [name, *(f"{FOLDER}/{name}" for name in NAMES[1:])]:
            content = batch() if place != name or first is None else first
            member = tarfile.TarInfo(place)
            member.size = len(content) if size is None or place != name else size
            file.addfile(member, io.BytesIO(content) if member.size == len(content) else Zeros())


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as refused:
        Cifar10Source(root, 32).load()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_path_out_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "inner"
    root.mkdir()
    archive(root, None, name="../../escaped/data_batch_1")
    Cifar10Source(root, 32).load()
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", ARCHIVE]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_extracting_stays_inside(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "inner"
    root.mkdir()
    if kind == "zip":
        with zipfile.ZipFile(root / "a.zip", "w") as packed:
            packed.writestr("top/good", "x")
            packed.writestr("../../escaped", "x")
            packed.writestr("/escaped", "x")
        extract(root / "a.zip", "top")
    else:
        for name, link in (("../../escaped", ""), ("/tmp/escaped", ""), ("top/link", "/etc"), ("top/up", "../../..")):
            with tarfile.open(root / "a.tar", "w") as packed:
                packed.addfile(tarfile.TarInfo("top/good"))
                member = tarfile.TarInfo(name)
                if link:
                    member.type, member.linkname = tarfile.SYMTYPE, link
                packed.addfile(member)
            with suppress(UserError):  # tarfile refuses it, or makes a plain name of it
                extract(root / "a.tar", "top")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inner"]
    assert not Path("/escaped").exists()
    assert not Path("/tmp/escaped").exists()
    assert not [path for path in root.rglob("*") if path.is_symlink()]


def test_links_in_the_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / ARCHIVE, "w:gz") as file:
        for name in NAMES:
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(member)
    assert "incomplete or damaged" in refusal(tmp_path)


def test_a_pickle_with_code_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path, batch(Hostile()))
    assert "system" in refusal(tmp_path)
    archive(tmp_path, batch([1, 2]))
    assert "incomplete or damaged" in refusal(tmp_path)
    (tmp_path / FOLDER).mkdir()
    for name in NAMES:
        (tmp_path / FOLDER / name).write_bytes(pickle.dumps({"data": Hostile(), "labels": []}))
    assert "system" in refusal(tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_more_than_it_holds(tmp_path: Path) -> None:
    archive(tmp_path, b"x", size=2**28)
    assert (tmp_path / ARCHIVE).stat().st_size < 2**22
    assert "incomplete or damaged" in refusal(tmp_path)
    (tmp_path / FOLDER).mkdir()
    with (tmp_path / FOLDER / NAMES[0]).open("wb") as file:
        file.truncate(2**40)
    assert "has 1099511627776 bytes" in refusal(tmp_path)
