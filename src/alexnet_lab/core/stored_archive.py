"""Archives of torch.save hold what they hold: nothing in them unpacks to more than the file's size."""

from __future__ import annotations

import zipfile
from pathlib import Path

from alexnet_lab.core.errors import UserError

ZIP = b"PK\x03\x04"


def check_stored(path: Path) -> None:
    """Raise UserError for a zip archive that is damaged, or compressed, which torch.save's are not."""
    with path.open("rb") as file:
        if file.read(4) != ZIP:
            return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError, EOFError):
        raise UserError(f"{path}: is damaged or cut short") from None
    unpacked = sum(entry.file_size for entry in entries)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or unpacked > path.stat().st_size:
        raise UserError(f"{path}: refused, it would unpack to {unpacked} bytes; files of weights are not compressed")
