"""What `src/export.py` and `src/import_weights.py` are asked for on their command lines."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from alexnet_lab.errors import UserError


def read_arguments(arguments: Sequence[str], defaults: dict[str, str | None]) -> dict[str, str]:
    """key=value arguments over their defaults; a default of None must be given.

    Raises UserError for unknown, repeated, empty and missing keys.
    """
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: cannot be read as key=value")
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=1)
            raise UserError(
                f"{key}: no such key; {f'did you mean {near[0]}?' if near else 'there are'} {_list(defaults)}"
            )
        if key in given:
            raise UserError(f"{key}: is given twice")
        if not value:
            raise UserError(f"{key}=: needs a value")
        given[key] = value
    missing = [key for key, default in defaults.items() if default is None and key not in given]
    if missing:
        raise UserError(f"{missing[0]}=: must be given")
    return {key: given.get(key, default or "") for key, default in defaults.items()}


def choice(key: str, value: str, choices: Sequence[str]) -> str:
    """The value, which must be one of the choices; raises UserError."""
    if value not in choices:
        raise UserError(f"{key}={value}: must be one of {', '.join(choices)}")
    return value


def path(text: str) -> Path:
    """A file or folder that a person named, ~ included."""
    return Path(text).expanduser()


def _list(keys: dict[str, str | None]) -> str:
    return ", ".join(keys)
