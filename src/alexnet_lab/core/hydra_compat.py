"""Every part of Hydra that this project touches and that Hydra does not document, each with the public feature that is
missed.

`tests/core/test_hydra_compat.py` tries each against the Hydra that is installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep


def parsed(overrides: Sequence[str], config_loader: ConfigLoader | None = None) -> list[Override]:
    """Missed: reading overrides without composing them. With a loader, glob() is answered. Raises HydraException."""
    found: list[Override] = OverridesParser.create(config_loader).parse_overrides(list(overrides))
    return found


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Missed: the product of all values of a sweep, as Hydra's own sweeper makes it, for another sweeper."""
    product: list[list[str]] = BasicSweeper.split_arguments(list(overrides), max_batch_size=None)[0]
    return product


def sweep_values(override: Override) -> list[str]:
    """Missed: the values of choice() and range() as texts for another override."""
    return [str(text) for text in override.sweep_string_iterator()]


def number_of_values(override: Override) -> float:
    """Missed: how many values a sweep has, without listing them. Infinite where it has no end; 1 for no sweep."""
    values = override.value()
    if isinstance(values, RangeSweep):
        start, stop, step = (float(limit or 0.0) for limit in (values.start, values.stop, values.step))
        if not step or not all(map(math.isfinite, (start, stop, step))):
            return math.inf
        return max(0, math.ceil((stop - start) / step))
    return len(values.list) if isinstance(values, ChoiceSweep) else 1


def stored(group: str, name: str) -> Any:
    """Missed: the node that was put into the ConfigStore as name in a group."""
    return ConfigStore.instance().load(f"{group}/{name}.yaml").node
