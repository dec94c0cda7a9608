"""How an option is declared: a dataclass field with its meaning, unit and range. Loads nothing heavy."""

from __future__ import annotations

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
) -> Any:
    """One setting of a configuration class, with what it means and what it may be."""
    metadata = {"meaning": meaning, "unit": unit, "minimum": minimum, "maximum": maximum, "choices": choices}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)
