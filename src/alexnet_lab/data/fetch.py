"""Published archives, fetched with their checksums; a transfer that breaks off goes on where it was.

`pooch` begins such a transfer anew, of collections that are gigabytes large.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alexnet_lab.core.errors import UserError
from alexnet_lab.core.files import check_folder_writable
from alexnet_lab.core.locks import locked
from alexnet_lab.core.progress import ByteProgress
from alexnet_lab.core.time_limit import within

ATTEMPTS = 5
SECONDS_WITHOUT_A_BYTE = 30.0
SECONDS_TO_ANSWER = 4.0  # in the preflight check
_PIECE = 2**20


@dataclass(frozen=True)
class Archive:
    """A published file: url is the folder that it lies in; md5 is what its publisher states."""

    name: str
    url: str
    md5: str

    def address(self, url: str | None = None) -> str:
        """Where it is to be had: from its publisher, or from another folder."""
        return f"{(url or self.url).rstrip('/')}/{self.name}"


_FASTAI = "https://s3.amazonaws.com/fast-ai-imageclas"
_ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive("imagenette2.tgz", _FASTAI, "fe2fc210e6bb7c5664d602c3cd71e612"),
        Archive("imagenette2-320.tgz", _FASTAI, "3df6f0d01a2c9592104656642f5e78a3"),
        Archive("imagenette2-160.tgz", _FASTAI, "e793b78cc4c9e9a4ccc0c1155377a412"),
        Archive("imagewoof2.tgz", _FASTAI, "9aafe18bcdb1632c4249a76c458465ba"),
        Archive("imagewoof2-320.tgz", _FASTAI, "0f46d997ec2264e97609196c95897a44"),
        Archive("imagewoof2-160.tgz", _FASTAI, "3d200a7be99704a0d7509be2a9fbfe15"),
        Archive("cifar-10-python.tar.gz", "https://www.cs.toronto.edu/~kriz", "c58f30108f718f92721af3b95e74349a"),
        Archive("tiny-imagenet-200.zip", "http://cs231n.stanford.edu", "90528d7ca1a48142e341f4ef8d21d0de"),
        Archive("train-images-idx3-ubyte.gz", _ZALANDO, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        Archive("train-labels-idx1-ubyte.gz", _ZALANDO, "25c81989df183df01b3e8a0aad5dffbe"),
        Archive("t10k-images-idx3-ubyte.gz", _ZALANDO, "bef4ecab320f06d8554ea6380940ec79"),
        Archive("t10k-labels-idx1-ubyte.gz", _ZALANDO, "bb300cfdad3c16e7a12a480ee83cd310"),
        # These three are not to be had without an account: they are here for verify-archives.
        Archive("ILSVRC2012_img_train.tar", "", "1d675b47d978889d74fa0da5fadfb00e"),
        Archive("ILSVRC2012_img_val.tar", "", "29b22e2961454d5413ddabcf34fc5622"),
        Archive("ILSVRC2012_devkit_t12.tar.gz", "", "fa75699e90414af021442c21a62c3abf"),
    )
}


def fetch(name: str, folder: Path, url: str | None = None) -> Path:
    """The archive in `folder`, fetched where it is not there; its checksum is compared in any case.

    url: another folder that it may be had from. Raises UserError in one line: no network, another checksum,
    no space.
    """
    archive, file = ARCHIVES[name], folder / name
    try:
        with locked(folder / f".{name}.lock", f"Waiting: another job is fetching {file}"):
            if file.exists():
                if md5_of(file, "Checking") != archive.md5:
                    raise UserError(
                        f"{file}: is not what was published (another MD5); delete it, and it is fetched anew"
                    )
                return file
            part = folder / f".{name}.part"
            address = archive.address(url)
            if reason := _transfer(address, part):
                raise UserError(_by_hand(archive, folder, address, reason))
            found = md5_of(part, "Checking")
            if found != archive.md5:
                part.unlink()
                raise UserError(
                    f"{address}: is not what was published (its MD5 is {found}, "
                    f"not {archive.md5}); it was thrown away, try again or another data.url"
                )
            part.replace(file)
            return file
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror or error})") from error


def extract(archive: Path, top: str) -> Path:
    """The folder `top` of an archive beside it, extracted whole or not at all; members cannot leave the folder.

    Raises UserError where the archive is damaged or does not hold it.
    """
    target = archive.parent / top
    with locked(archive.parent / f".{archive.name}.lock", f"Waiting: another job is extracting {archive}"):
        if target.is_dir():
            return target
        beside = archive.parent / f".{archive.name}.extracting"
        shutil.rmtree(beside, ignore_errors=True)
        print(f"Extracting {archive}", file=sys.stderr, flush=True)
        try:
            if archive.suffix == ".zip":
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(beside)  # noqa: S202 - zipfile drops .. and roots
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(beside, filter="data")
            if not (beside / top).is_dir():
                raise UserError(f"{archive}: holds no folder {top}")
            (beside / top).rename(target)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise UserError(
                f"{archive}: cannot be extracted ({' '.join(str(error).split())}); fetch it again"
            ) from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def md5_of(file: Path, doing: str) -> str:
    """MD5 of a file, as publishers of data sets state it; shows how far it is."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream, ByteProgress(f"{doing} {file.name}", file.stat().st_size) as progress:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            progress.advance(len(piece))
    return digest.hexdigest()


def check_can_fetch(name: str, folder: Path, url: str | None = None) -> None:
    """Raise UserError where an archive cannot be fetched into `folder`: not writable, no answer within seconds."""
    check_folder_writable(folder)
    archive = ARCHIVES[name]
    address = archive.address(url)
    if reason := _no_answer(address):
        raise UserError(_by_hand(archive, folder, address, reason))


def _by_hand(archive: Archive, folder: Path, address: str, reason: str) -> str:
    return (
        f"{address}: cannot be fetched ({' '.join(reason.split()):.200}); without a network, put the file "
        f"into {folder} by hand (its MD5 is {archive.md5})"
    )


@cache  # the jobs of a sweep are checked one after the other
def _no_answer(address: str) -> str:
    """Why nothing can be fetched from there, "" where it can."""

    def ask() -> str:
        try:
            with _open(address, first=0, last=0, seconds=SECONDS_TO_ANSWER):
                return ""
        except urllib.error.HTTPError as error:
            return _answer(error) if error.code < 500 else ""  # its own error may pass
        except Exception as error:  # an address that a person has typed may fail anywhere
            return _reason(error)

    return within(SECONDS_TO_ANSWER, ask, late=f"no answer within {SECONDS_TO_ANSWER:g} s")


def _transfer(url: str, part: Path) -> str:
    """Append to `part` what it lacks of the file at `url`; why that could not be done, "" where it is whole."""
    reason, attempt, had = "", 0, -1
    while attempt < ATTEMPTS:
        have = part.stat().st_size if part.exists() else 0
        attempt, had = (attempt + 1 if have <= had else 1), have  # whoever gets on may go on
        time.sleep((attempt - 1) ** 2 / 10)
        try:
            if _transfer_once(url, part):
                return ""
            reason = "it breaks off"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # there is nothing behind what we have: either it is whole, or it is another file
                return ""
            reason = _answer(error)
            if error.code < 500:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = _reason(error)
    if part.exists():
        reason += f"; {part.stat().st_size / 1e6:.0f} MB are kept, and the next try goes on from there"
    return reason


def _transfer_once(url: str, part: Path) -> bool:
    """One connection; whether the file is whole after it."""
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have, seconds=SECONDS_WITHOUT_A_BYTE) as answer:
        if have and answer.status != 206:
            have = 0  # the server cannot go on in the middle
        total = have + int(answer.headers.get("Content-Length") or 0)
        with part.open("ab" if have else "wb") as file, ByteProgress(f"Fetching {url}", total, have) as progress:
            read: Callable[[int], bytes] = answer.read1
            while piece := read(_PIECE):
                file.write(piece)
                have += len(piece)
                progress.advance(len(piece))
    return total == 0 or have >= total


def _open(url: str, first: int, last: int | None = None, *, seconds: float) -> Any:
    """The server's answer, from byte `first` to `last`. Raises what urllib does."""
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url}: data.url must begin with http:// or https://")
    headers = {"Range": f"bytes={first}-{'' if last is None else last}"} if first or last is not None else {}
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=seconds)  # noqa: S310


def _answer(error: urllib.error.HTTPError) -> str:
    return f"the server answers {error.code} {error.reason}"


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)
