"""`${oc.env:NAME}` and `${oc.env:NAME,default}` in configurations, but for what looks like a secret.

A configuration is written into run folders and told to trackers, and with it whatever was looked up.
"""

from __future__ import annotations

import os
from typing import Any

from omegaconf import OmegaConf

from alexnet_lab.core.errors import UserError

SECRET = ("key", "token", "secret", "passw", "passphrase", "credential", "auth", "cookie", "private", "signature")
REQUIRED = object()


def register_resolver() -> None:
    """In place of OmegaConf's own, which gives whatever is asked for."""
    OmegaConf.register_new_resolver("oc.env", _value, replace=True)


def looks_secret(name: str) -> bool:
    """Whether a variable of this name may hold what nobody else is to see."""
    return any(word in name.lower() for word in SECRET)


def _value(name: str, default: Any = REQUIRED) -> Any:
    if looks_secret(str(name)):
        raise UserError(
            f"${{oc.env:{name}}}: looks like a secret, and what is in a configuration is written down; programs that "
            "need it read the environment themselves"
        )
    value = os.environ.get(str(name), default)
    if value is REQUIRED:
        raise UserError(f"${{oc.env:{name}}}: is not set in the environment; set it, or say ${{oc.env:{name},default}}")
    return value
