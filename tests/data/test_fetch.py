"""Archives from a server on this machine: whole, resumed, refused."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import made_collections
import numpy as np
import pytest
from PIL import Image

from alexnet_lab.config.image_sources import DigitsConfig, PublishedFilesConfig
from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.data import fetch
from alexnet_lab.data.cifar10 import Cifar10Source
from alexnet_lab.data.prepare import prepare_store
from alexnet_lab.data.sources import check_at_hand, make_source

NAME = "imagenette2-160.tgz"


class Server(ThreadingHTTPServer):
    """Serves `files`; breaks each connection off after `limit` bytes; notes the ranges that were asked for."""

    files: dict[str, bytes]
    limit: int | None = None
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        first = int(re.fullmatch(r"bytes=(\d+)-0?", asked)[1]) if asked else 0
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        end = None if self.server.limit is None else first + self.server.limit
        self.wfile.write(content[first:end])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(files: dict[str, bytes], limit: int | None = None) -> Iterator[tuple[Server, str]]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.files, server.limit, server.ranges = {f"/{name}": file for name, file in files.items()}, limit, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A miniature Imagenette, known to the program under its name."""
    files = {
        f"imagenette2-160/{split}/{wnid}/{index}.JPEG": made_collections.image(index)
        for split in ("train", "val")
        for wnid in ("n01440764", "n02102040")
        for index in range(3)
    }
    content = made_collections.tar_of(files, "w:gz")
    publish(monkeypatch, NAME, content)
    return content


def publish(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    md5 = hashlib.md5(content).hexdigest()
    monkeypatch.setitem(fetch.ARCHIVES, name, fetch.Archive(name, "http://127.0.0.1:1", md5))


def imagenette(root: Path, url: str) -> PublishedFilesConfig:
    return PublishedFilesConfig(source="imagenette", root=str(root), url=url, image_size=64)


def test_a_collection_is_fetched_and_prepared(tmp_path: Path, archive: bytes) -> None:
    with serving({NAME: archive}) as (server, url):
        store = prepare_store(tmp_path / "stores", make_source(imagenette(tmp_path / "down", url)))
        assert store.path.name.startswith("imagenette-64px-")
        assert store.class_names == ["n01440764", "n02102040"]
        assert [len(store.labels(split)) for split in ("train", "val")] == [6, 6]
        again = prepare_store(tmp_path / "stores", make_source(imagenette(tmp_path / "down", url)))
        assert (again.path, len(server.ranges)) == (store.path, 1)


def test_a_transfer_that_breaks_off_goes_on_where_it_was(tmp_path: Path, archive: bytes) -> None:
    limit = len(archive) // 8
    with serving({NAME: archive}, limit) as (server, url):
        assert fetch.fetch(NAME, tmp_path, url).read_bytes() == archive
    begins = [0, *(int(asked[6:-1]) for asked in server.ranges[1:] if asked)]
    assert begins == list(range(0, len(archive), limit))


def test_what_was_fetched_before_the_network_went_is_kept(tmp_path: Path, archive: bytes) -> None:
    with serving({NAME: archive}, limit=0) as (_, url):
        (tmp_path / f".{NAME}.part").write_bytes(archive[:100])
        with pytest.raises(UserError, match=r"cannot be fetched \(it breaks off; 0 MB are kept") as error:
            fetch.fetch(NAME, tmp_path, url)
    assert "\n" not in str(error.value)
    with serving({NAME: archive}) as (server, url):
        assert fetch.fetch(NAME, tmp_path, url).read_bytes() == archive
        assert server.ranges == ["bytes=100-"]


def test_without_a_network_it_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"imagenette2-160.tgz: cannot be fetched \(.*refused.*put the file into"
    ) as error:
        fetch.fetch(NAME, tmp_path, "http://127.0.0.1:1")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("script", ["train.py", "train.py -m seed=0,1", "prepare.py", "reproduce.py"])
def test_what_cannot_be_fetched_is_refused_at_the_door(script: str, program, tmp_path: Path) -> None:
    data = ("data=cifar10", "data.root=images", "data.url=http://127.0.0.1:1")
    answer = program(*script.split(), *data)
    assert answer.returncode == 2
    assert "http://127.0.0.1:1/cifar-10-python.tar.gz: cannot be fetched" in answer.stderr
    assert f"into images by hand (its MD5 is {fetch.ARCHIVES['cifar-10-python.tar.gz'].md5})" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_door_asks_the_server_for_what_is_not_there(tmp_path: Path, archive: bytes) -> None:
    with serving({NAME: archive}) as (server, url):
        data = imagenette(tmp_path / "down", url)
        check_at_hand(data, make_source(data))
        assert server.ranges == ["bytes=0-0"]
        assert list(tmp_path.iterdir()) == []
        larger = replace(data, image_size=300)
        with pytest.raises(UserError, match=r"imagenette2-320.tgz: cannot be fetched \(the server answers 404"):
            check_at_hand(larger, make_source(larger))
        fetch.fetch(NAME, tmp_path / "down", url)
    there = imagenette(tmp_path / "down", "http://127.0.0.1:1")
    check_at_hand(there, make_source(there))


def test_a_name_server_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: answered.wait())
    monkeypatch.setattr(fetch, "SECONDS_TO_ANSWER", 0.2)
    with pytest.raises(UserError, match=r"cannot be fetched \(no answer within 0.2 s\)"):
        fetch.check_can_fetch(NAME, tmp_path / "down", "http://somewhere.invalid")
    answered.set()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_not_asked_for_again(tmp_path: Path) -> None:
    with serving({}) as (_, url), pytest.raises(UserError, match=r"the server answers 404"):
        fetch.fetch(NAME, tmp_path, url)


def test_another_checksum_is_refused_and_thrown_away(tmp_path: Path, archive: bytes) -> None:
    with serving({NAME: archive[:-1] + b"?"}) as (_, url), pytest.raises(UserError, match=r"not what was published"):
        fetch.fetch(NAME, tmp_path / "down", url)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / NAME).write_bytes(b"put here by hand")
    with pytest.raises(UserError, match=r"not what was published.*delete it"):
        fetch.fetch(NAME, tmp_path)


def test_archives_cannot_write_outside_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / NAME).write_bytes(made_collections.tar_of({"../outside": b"!"}, "w:gz"))
    with pytest.raises(UserError, match=r"cannot be extracted") as error:
        fetch.extract(tmp_path / "in" / NAME, "imagenette2-160")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_cifar10_is_fetched_and_read_in_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, images = made_collections.cifar_archive()
    publish(monkeypatch, "cifar-10-python.tar.gz", content)
    with serving({"cifar-10-python.tar.gz": content}) as (_, url):
        store = prepare_store(tmp_path / "stores", Cifar10Source(tmp_path / "down", 32, url), max_bad=0)
    assert np.array_equal(store.images("train"), images)
    assert store.labels("val").tolist() == list(range(10))
    assert not (tmp_path / "down" / "cifar-10-batches-py").exists()


def test_cifar10_extracted_by_hand(tmp_path: Path) -> None:
    content, images = made_collections.cifar_archive()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "cifar-10-batches-py"
    for root in (tmp_path, folder):
        assert np.array_equal(Cifar10Source(root, 32).load()["train"][0], images)
    (folder / "data_batch_3").unlink()
    with pytest.raises(UserError, match=r"incomplete or damaged .*data_batch_3"):
        Cifar10Source(tmp_path, 32).load()


def test_a_preparation_that_is_asked_to_end_while_it_fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked_to_end(*arguments: object) -> None:
        raise Preempted("ended by SIGTERM")

    monkeypatch.setattr(fetch, "_transfer", asked_to_end)
    with pytest.raises(Preempted):
        Cifar10Source(tmp_path, 32).load()


def test_cifar10_s_files_cannot_run_programs(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps({"data": Program()}))
    with pytest.raises(UserError, match=r"incomplete or damaged \(it asks for"):
        Cifar10Source(tmp_path, 32).count("train")
    assert not (tmp_path / "ran").exists()


def test_tiny_imagenet_is_fetched_as_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for wnid in ("n01", "n02"):
            packed.writestr(f"tiny-imagenet-200/train/{wnid}/images/0.JPEG", made_collections.image(1))
            packed.writestr(f"tiny-imagenet-200/val/images/{wnid}.JPEG", made_collections.image(2))
        packed.writestr("tiny-imagenet-200/val/val_annotations.txt", "n01.JPEG\tn01\t0\nn02.JPEG\tn02\t0\n")
    publish(monkeypatch, "tiny-imagenet-200.zip", stream.getvalue())
    with serving({"tiny-imagenet-200.zip": stream.getvalue()}) as (_, url):
        data = PublishedFilesConfig(source="tiny_imagenet", store_root=str(tmp_path), url=url, image_size=64)
        store = prepare_store(tmp_path, make_source(data))
    assert store.labels("val").tolist() == [0, 1]
    assert (tmp_path / "downloads" / "tiny-imagenet-200.zip").is_file()


def test_the_digits_need_no_download(tmp_path: Path) -> None:
    store = prepare_store(tmp_path, make_source(DigitsConfig(image_size=16)))
    assert [len(store.labels(split)) for split in ("train", "val")] == [1438, 359]
    one = Image.fromarray(store.images("train")[0])
    assert one.convert("L").convert("RGB").tobytes() == one.tobytes()  # grey
    assert 30 < store.pixel_mean.mean() < 130
