"""What src/prepare.py does: prepare a collection, verify stores, verify published archives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from alexnet_lab.config.image_sources import DataConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.progress import ByteProgress
from alexnet_lab.core.signals import stop_when_asked
from alexnet_lab.data.prepare import check_unchanged, discard_changed, prepare_store, store_path
from alexnet_lab.data.sources import check_at_hand, make_source
from alexnet_lab.data.store import Store
from alexnet_lab.data.store_checks import verify_store


def prepare(data: DataConfig) -> None:
    """Build the store of a collection, or go on with it; one whose images have changed is built anew."""
    stop_when_asked("what is prepared is kept, and the same command goes on from it")
    source, directory = make_source(data), Path(data.store_root)
    if change := discard_changed(directory, source, data.packing):
        print(f"{change} since it was prepared: preparing it anew", file=sys.stderr)
    check_at_hand(data, source)
    store = prepare_store(directory, source, data.packing, data.max_bad)
    print(_summary(store))
    if passed_over := store.manifest["found"].get("passed_over"):
        print(f"Passed over, {passed_over}")


def verify(data: DataConfig) -> None:
    """Read the store of the collection that is named, and look whether that has changed since; or read all stores."""
    directory, source = Path(data.store_root), None
    if getattr(data, "root", None) is None and not any(argument.startswith("data=") for argument in sys.argv[1:]):
        paths = sorted(manifest.parent for manifest in directory.glob("*/manifest.json"))
        if not paths:
            raise UserError(f"{directory}: holds no prepared data")
    else:
        source = make_source(data)
        paths = [store_path(directory, source, data.packing)]
    wrong: list[str] = []
    for path in paths:
        total = sum(file.stat().st_size for file in path.glob("*"))
        try:
            with ByteProgress(f"Verifying {path.name}", total) as progress:
                store = verify_store(path, progress.advance)
            if source is not None:
                check_unchanged(store, source, every_file=True)
        except UserError as error:
            wrong.append(str(error))
        else:
            print(f"{path}: every byte is as it was written, {total / 1e9:.2f} GB")
    if wrong:
        raise UserError("; ".join(wrong))


def verify_archives(data: DataConfig) -> None:
    """Compare the MD5 of every published archive in data.root with what its publisher states."""
    from alexnet_lab.data.fetch import ARCHIVES, md5_of

    root = getattr(data, "root", None)
    if root is None:
        raise UserError("verify-archives: needs data=imagenet data.root=DIR, the folder that holds the archives")
    found = [archive for archive in ARCHIVES.values() if (Path(root) / archive.name).is_file()]
    if not found:
        raise UserError(f"{root}: holds none of {', '.join(ARCHIVES)}")
    wrong: list[str] = []
    for archive in found:
        right = md5_of(Path(root) / archive.name, "Checking") == archive.md5
        print(f"{archive.name}: {'as published' if right else 'NOT as published'}", flush=True)
        wrong += [] if right else [archive.name]
    if wrong:
        raise UserError(f"{root}: {', '.join(wrong)}: another MD5 than was published; fetch again")


COMMANDS: dict[str, Callable[[DataConfig], None]] = {
    "prepare": prepare,
    "verify": verify,
    "verify-archives": verify_archives,
}


def _summary(store: Store) -> str:
    counts, rejected = store.manifest["counts"], store.manifest["rejected"]
    unreadable = f", {rejected:,} unreadable, see quarantine.csv" if rejected else ""
    return (
        f"{store.path}: {counts['train']:,} training and {counts['val']:,} validation images of "
        f"{store.image_size} pixels, {len(store.class_names):,} classes{unreadable}"
    )
