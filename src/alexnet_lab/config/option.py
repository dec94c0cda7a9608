"""How an option is declared: a dataclass field with its meaning, unit and range. Loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import field
from typing import Any


def option(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    aliases: Mapping[Any, Any] | None = None,
    instead: Mapping[str, str] | None = None,
) -> Any:
    """One setting of a configuration class, with what it means and what it may be.

    aliases: other names of values, and what they are called here. instead: values that other programs take, and what
    helps whoever has given one.
    """
    metadata: dict[str, Any] = {
        "meaning": meaning,
        "unit": unit,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
    }
    metadata |= {"aliases": aliases or {}, "instead": instead or {}}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
