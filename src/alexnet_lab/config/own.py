"""Parts of one's own: classes and functions that a configuration names with `_target_`, beside the built-in options.

What a configuration says of one is flat, `_target_` and its arguments beside the options that every part of its kind
has. Here it is told apart; `parts` imports and makes it. Loads neither torch nor OmegaConf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alexnet_lab.config.option import option

TARGET = "_target_"
ARGUMENTS = "arguments"
# Groups of which each entry is a part of one's own, or the one that is `loss` itself.
OPEN = ("loss", "callbacks", "augmentation")


@dataclass
class OwnPart:
    """What a part of one's own has, of whatever kind."""

    _target_: str = option("", "the class or function, as in package.module.Name")
    arguments: dict[str, Any] = option({}, "what it is called with: every key beside the options of its group")


def is_own(part: object) -> bool:
    """Whether a group of a nested configuration, or an object of options, names a part of one's own."""
    return isinstance(part, OwnPart) or (isinstance(part, Mapping) and TARGET in part)


def folded(part: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """What a configuration says of a part, with the keys that are no options of its class among its arguments."""
    options = {item.name for item in dataclasses.fields(kind)} - {ARGUMENTS}
    told = part.get(ARGUMENTS)
    arguments = dict(told) if isinstance(told, Mapping) else {}
    arguments |= {str(key): value for key, value in part.items() if key not in options and key != ARGUMENTS}
    return {**{str(key): value for key, value in part.items() if key in options}, ARGUMENTS: arguments}


def flat(part: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `folded`."""
    return {**{key: value for key, value in part.items() if key != ARGUMENTS}, **part.get(ARGUMENTS, {})}
