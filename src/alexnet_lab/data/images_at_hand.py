"""What results and checkpoints say of a store's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alexnet_lab.config.image_sources import DataConfig
from alexnet_lab.data.prepare import check_unchanged, store_path
from alexnet_lab.data.sources import make_source
from alexnet_lab.data.store import Store, open_store


def facts(store: Store) -> dict[str, Any]:
    """What results and checkpoints say of their images: identity, number of classes, images of each split."""
    return {"identity": store.identity, "classes": len(store.class_names), **store.manifest["counts"]}


def at_hand(data: DataConfig) -> dict[str, Any] | None:
    """The facts of the store that this configuration reads now; None where none is prepared.

    Raises UserError where the store is damaged, or the collection has changed since or is not as it should be.
    """
    source = make_source(data)
    path = store_path(Path(data.store_root), source, data.packing)
    return facts(check_unchanged(open_store(path), source)) if path.exists() else None
