"""From what Hydra, OmegaConf and this project raise to one line on the screen.

Entry points wrap their Hydra function in `run`: what a person can cause ends in one line and exit
code 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alexnet_lab.config import RunConfig, UnknownKeyError
from alexnet_lab.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def run(entry_point: Callable[[], Any]) -> None:
    """Call the entry point; end the program in one line where the user can mend what went wrong."""
    # Hydra then raises what it otherwise prints itself in several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with one_line_errors():
        entry_point()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What a person caused inside this block ends the program in one line; bugs pass through."""
    try:
        yield
    except UserError as error:
        fail(_unknown_key(str(error)) if isinstance(error, UnknownKeyError) else str(error))
    except (HydraException, OmegaConfBaseException) as error:
        fail(explain(error))
    except ValueError as error:
        if "Config group override" not in str(error):  # Hydra's answer to model=null, the one it has no class for
            raise
        fail(f"{_first_line(error)}; name one of the group's options")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def fail(message: str) -> NoReturn:
    """Print one line and leave with exit code 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)


def known_keys() -> list[str]:
    """Every key of a run's configuration, dotted, groups included."""

    def walk(node: Any, prefix: str) -> list[str]:
        keys = []
        for key in node:
            path = f"{prefix}{key}"
            keys.append(path)
            child = OmegaConf.select(node, key)
            if OmegaConf.is_dict(child):
                keys += walk(child, path + ".")
        return keys

    return walk(OmegaConf.structured(RunConfig), "")


def nearest_key(key: str) -> str | None:
    """The known key most like a mistyped one, or None where nothing is near."""
    keys = known_keys()
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    if near:
        return near[0]
    last = {known.rsplit(".", 1)[-1]: known for known in keys}
    near = difflib.get_close_matches(key.rsplit(".", 1)[-1], list(last), n=1, cutoff=0.6)
    return last[near[0]] if near else None


def explain(error: BaseException) -> str:
    """What a composition error means for the person who typed the command."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(str(part) for part in chain)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _explain_override(found[1], chain)
    if found := re.search(
        r"Could not find '([^']+)/([^'/]+)'\s+Available options in '[^']+':\s+([^\n]+(?:\n\t[^\n]+)*)", text
    ):
        group, option = found[1], found[2]
        options = [word for word in re.split(r"[\s,]+", found[3]) if word != "schema"]
        near = difflib.get_close_matches(option, options, n=1)
        advice = f"did you mean {near[0]}? There are" if near else "choose from"
        return f"{group}={option}: no such option; {advice} {', '.join(options)}"
    if found := re.search(r"Error merging override ([^\n]+)", text):
        return f"{found[1].strip()}: {_plain_cause(chain)}"
    if found := re.search(r"full_key: ([\w.]+)", text):
        return f"{found[1]}: {_plain_cause(chain)}"
    if type(error).__name__ == "OverrideParseException":
        override = getattr(error, "override", "")
        return f"{override!r}: cannot be read as key=value; quote values that hold special characters"
    return _first_line(error)


def _explain_override(key: str, chain: list[BaseException]) -> str:
    return _unknown_key(key) if key not in known_keys() else f"{key}: {_plain_cause(chain)}"


def _unknown_key(key: str) -> str:
    near = nearest_key(key)
    advice = f"did you mean {near}?" if near else "python src/train.py --cfg job lists every key"
    return f"{key}: no such key; {advice}"


def _plain_cause(chain: list[BaseException]) -> str:
    """The explanation in OmegaConf's words; what lies below it speaks of Python."""
    own = [error for error in chain if isinstance(error, OmegaConfBaseException)]
    return _first_line(own[0] if own else chain[-1])


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
