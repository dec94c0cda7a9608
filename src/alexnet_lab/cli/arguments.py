"""key=value on the command lines of the entry points that are not Hydra's.

OmegaConf.from_cli would take out=0123 for the number 83, a second value for the first, and a word without = for a key.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from alexnet_lab.core.errors import UserError


def read_arguments(arguments: Sequence[str], defaults: dict[str, str | None]) -> dict[str, str]:
    """key=value arguments over their defaults; a default of None must be given.

    Raises UserError for unknown, repeated, empty and missing keys.
    """
    given, others = split_arguments(arguments, defaults)
    if others:
        key = others[0].partition("=")[0]
        near = difflib.get_close_matches(key, defaults, n=1)
        advice = f"did you mean {near[0]}?" if near else "there are"
        raise UserError(f"{key}: no such key; {advice} {', '.join(defaults)}")
    missing = [key for key, default in defaults.items() if default is None and key not in given]
    if missing:
        raise UserError(f"{missing[0]}=: must be given")
    return {key: given.get(key, default or "") for key, default in defaults.items()}


def split_arguments(arguments: Sequence[str], own: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The values of the own keys, and every other argument as it is.

    Raises UserError for what is not key=value, and for own keys that are repeated or empty.
    """
    given: dict[str, str] = {}
    others = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key:
            raise UserError(f"{argument}: cannot be read as key=value")
        if key not in own:
            others.append(argument)
            continue
        if key in given:
            raise UserError(f"{key}: is given twice")
        if not value:
            raise UserError(f"{key}=: needs a value")
        given[key] = value
    return given, others


def flag(key: str, value: str) -> bool:
    """true or false; raises UserError for another word."""
    return choice(key, value, ("true", "false")) == "true"


def choice(key: str, value: str, choices: Sequence[str]) -> str:
    """The value, which must be one of the choices; raises UserError."""
    if value not in choices:
        raise UserError(f"{key}={value}: must be one of {', '.join(choices)}")
    return value


def path(text: str) -> Path:
    """A file or folder that a person named, ~ included."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~somebody who is not there
        raise UserError(f"{text}: there is no such user's folder") from None


def whole_number(key: str, text: str, least: int, most: int) -> int:
    """The value as a whole number; raises UserError where it is none or out of range."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise UserError(f"{key}={text}: must be a whole number from {least} to {most}")
    return int(text)
