"""Collections that are published as one archive, which is fetched where there is a network."""

from __future__ import annotations

from pathlib import Path

from alexnet_lab.data.fetch import extract, fetch
from alexnet_lab.data.layouts.detect import detect, find_layout
from alexnet_lab.data.listing import Layout

# Published archives and their top folders, by collection; of images at several sizes, the shorter side's in pixels.
EDITIONS: dict[str, tuple[tuple[int, str, str], ...]] = {
    name: (
        (160, f"{name}2-160", f"{name}2-160.tgz"),
        (320, f"{name}2-320", f"{name}2-320.tgz"),
        (10**9, f"{name}2", f"{name}2.tgz"),
    )
    for name in ("imagenette", "imagewoof")
} | {"tiny_imagenet": ((10**9, "tiny-imagenet-200", "tiny-imagenet-200.zip"),)}


class PublishedCollection:
    """The collection itself in `root`, or its folder or archive there; otherwise it is fetched into `root`.

    Of several sizes the smallest that has `image_size` pixels is taken, or a larger one that is there.
    """

    def __init__(self, collection: str, root: Path, image_size: int, url: str | None) -> None:
        self._root, self._url = root, url
        self._editions = [edition for edition in EDITIONS[collection] if edition[0] >= image_size]

    def fetched(self) -> Layout:
        """Its layout, wherever it comes from. Raises UserError."""
        layout = self.there()
        if layout is None:
            _, top, name = self._archive_there() or self._editions[0]
            layout = find_layout(extract(fetch(name, self._root, self._url), top))
        return layout

    def there(self) -> Layout | None:
        """Its layout where its images are in a folder."""
        for folder in (self._root, *(self._root / top for _, top, _ in self._editions)):
            if (folder / "train").is_dir() and (folder / "val").is_dir():
                return find_layout(folder, detect(folder))
        return None

    def missing(self) -> str | None:
        """The archive that has to be fetched; None where the collection or its archive is there."""
        return None if self.there() is not None or self._archive_there() else self._editions[0][2]

    def _archive_there(self) -> tuple[int, str, str] | None:
        return next((edition for edition in self._editions if (self._root / edition[2]).is_file()), None)
