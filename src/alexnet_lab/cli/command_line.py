"""From what Hydra, OmegaConf and this project raise to one line on the screen.

Entry points wrap their Hydra function in `run`: what a person can cause ends in one line and exit
code 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import re
import resource
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra.errors import HydraException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from alexnet_lab.cli.hints import hint
from alexnet_lab.config.checks import UnknownKeyError
from alexnet_lab.config.options import CHOICES, GROUPS, OWN, RunConfig, owners
from alexnet_lab.config.own import TARGET
from alexnet_lab.core import environment_variables, parent_watchdog, streams
from alexnet_lab.core.errors import EXIT_USER_ERROR, STOPPED_EXIT_CODE, Preempted, UserError
from alexnet_lab.core.paths import EXPERIMENTS, as_called
from alexnet_lab.core.streams import say

LONGEST_WORD = 8192  # characters; the longest path has 4096
LONGEST_KEY = 200
DEEPEST_WORD = 20  # brackets within brackets
LONGEST_LINE = 600  # characters of an error
NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't allocate memory", "can't start new thread")
RECIPE_GROUPS = ("experiment", "hparams_search", "debug")  # of files that set several options at once
CAN_BE_LEFT_OUT = ("callbacks", "augmentation", *RECIPE_GROUPS)  # ~KEY of all or a part
HYDRA_KEYS = (
    "hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.launcher.jobs", "hydra.launcher.sweep_retries",
    "hydra.sweeper.experiment", "hydra.sweeper.n_trials", "hydra.sweeper.metric", "hydra.sweeper.direction",
)  # fmt: skip


def help_or_run(entry_point: Callable[[], Any], description: str) -> None:
    """`run`, or what the program does where that is asked for; for the entry points that are not Hydra's."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        run(lambda: print(as_called(description.strip()), flush=True))
    else:
        run(entry_point)


def run(entry_point: Callable[[], Any]) -> None:
    """Call the entry point; end the program in one line where the user can mend what went wrong."""
    _speak_utf8()
    streams.open_closed()
    parent_watchdog.follow_parent()
    sys.stdout, sys.stderr = streams.product(sys.stdout), streams.outliving(sys.stderr)
    # Threads of PyTorch that wait for each other sleep. By default they spin, which takes the core from the thread
    # that they wait for where other programs are at work. Read when PyTorch is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What goes wrong between ranks is said in one line; PyTorch would print hundreds on the way there.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    # Hydra then raises what it otherwise prints itself in several lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # So does the parser of its options, which prints all of them before it says which one is wrong.
    argparse.ArgumentParser.error = lambda parser, message: fail(_of_options(message))  # type: ignore[assignment, method-assign]
    environment_variables.register_resolver()
    with one_line_errors():
        check_arguments(sys.argv[1:])
        sys.argv[1:] = map(_with_home, sys.argv[1:])
        try:
            entry_point()
        finally:
            sys.stdout.flush()


def _speak_utf8() -> None:
    """Where Python takes another encoding from the locale, such as LC_ALL=POSIX, begin anew in UTF-8.

    The command line would be refused, and a path with other than ASCII letters could not be written down.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def check_arguments(arguments: list[str]) -> None:
    """Raise UserError for words that no file, log or parser takes: not UTF-8, with control characters, endless.

    And for three of Hydra's own: one unpickles a file, which can run code, one takes the preflight check away, and
    one takes a group away, which would leave a network that is not the preset whose name it has.
    """
    for word in arguments:
        shown = ascii(word[:60])
        if word.startswith("~") and re.split("[.@=]", word[1:])[0] not in CAN_BE_LEFT_OUT:
            instead = "logger=none does without one" if word.startswith("~logger") else "choose another value"
            raise UserError(f"{shown}: is not available here, where every key has a value; {instead}")
        if word.startswith("--exp") or word.lstrip("+").startswith("hydra.callbacks"):
            raise UserError(f"{shown}: is not available here")
        if len(word) > LONGEST_WORD:
            raise UserError(f"{shown}...: has {len(word)} characters; {LONGEST_WORD} are the most that can be meant")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in word):
            raise UserError(f"{shown}: holds a control character, or is not UTF-8")
        depth = deepest = 0
        for letter in word:
            depth += (letter in "([{") - (letter in ")]}")
            deepest = max(deepest, depth)
        if deepest > DEEPEST_WORD:
            raise UserError(f"{shown}...: is nested too deeply")
        if len(word.partition("=")[0]) > LONGEST_KEY:
            raise UserError(f"{shown}...: no such key; python src/train.py --cfg job lists every key")


def _with_home(word: str) -> str:
    """key=~/... as the shell would have it in key ~/...: no folder may be made that is called ~."""
    return re.sub(r"^([^=]+=['\"]?)~(?=/)", lambda begin: begin[1] + str(Path.home()), word)


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
        if "Config group override" in str(error):  # Hydra's answer to model=null, the one it has no class for
            given = [word for word in sys.argv[1:] if re.fullmatch(r"\+*[\w/]+=(true|false|null|[\d.]+)", word, re.I)]
            fail(f"{given[0] if given else _first_line(error)}: names none of the group's options; --help lists them")
        if not _raised_in(error, "hydra"):  # which has no class either for options that exclude each other
            raise
        fail(_first_line(error))
    except (MemoryError, ImportError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        limited = most != resource.RLIM_INFINITY
        fail(
            f"there is too little memory: {most / 1e6:,.0f} MB are allowed here; raise the limit (ulimit -v)"
            if limited
            else "there is too little memory; end other programs"
        )
    except OSError as error:  # a disk, a permission or a name; what is no such thing keeps its traceback
        if error.strerror is None:
            raise
        fail(f"{str(error.filename)[:200] + ': ' if error.filename is not None else ''}{error.strerror}")
    except Preempted as error:
        say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(STOPPED_EXIT_CODE)


def fail(message: str) -> NoReturn:
    """Print one line and leave with exit code 2."""
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(message.split()))
    say(f"error: {line if len(line) <= LONGEST_LINE else f'{line[:LONGEST_LINE]} ...'}")
    sys.exit(EXIT_USER_ERROR)


def _raised_in(error: BaseException, package: str) -> bool:
    """Whether it was raised in a module of this package."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).split(".")[0] == package


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether it says, or something that led to it, that the system gave no memory, for a library or a thread."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def known_keys() -> list[str]:
    """Every key of a configuration, dotted, groups included, whatever their options are."""
    keys = dict.fromkeys(RunConfig.__dataclass_fields__)
    for group in GROUPS:
        classes = CHOICES[group][1].values() if group in CHOICES else [type(getattr(RunConfig(), group))]
        for kind in classes:
            keys |= dict.fromkeys(_keys(kind(), f"{group}."))
    return list(keys)


def _keys(options: Any, prefix: str) -> Iterator[str]:
    for item in dataclasses.fields(options):
        yield prefix + item.name
        if dataclasses.is_dataclass(part := getattr(options, item.name)):
            yield from _keys(part, f"{prefix}{item.name}.")


def known_claims() -> list[str]:
    """The claims of experiments/, by name."""
    return sorted(file.stem for file in EXPERIMENTS.glob("*.yaml"))


def nearest_key(key: str) -> str | None:
    """The known key most like a mistyped one, or None where nothing is near."""
    keys = [*known_keys(), *RECIPE_GROUPS, *HYDRA_KEYS]
    last = {known.rsplit(".", 1)[-1]: known for known in keys}
    if key in keys:
        return key
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.75)
    if near:
        return near[0]
    near = difflib.get_close_matches(key.rsplit(".", 1)[-1], list(last), n=1, cutoff=0.75)
    return last[near[0]] if near else None


def explain(error: BaseException) -> str:
    """What a composition error means for the person who typed the command."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for part in chain:
        if isinstance(part, UserError):  # of a resolver, which OmegaConf wraps
            return str(part)
    text = "\n".join(str(part) for part in chain)
    if found := re.search(r"Could not override '([^']+)'", text):
        return _explain_override(found[1], chain)
    if found := re.search(
        r"Could not find '([^']+)/([^'/]+)'\s+Available options in '[^']+':\s+([^\n]+(?:\n\t[^\n]+)*)", text
    ):
        group, option = found[1], found[2]
        options = [word for word in re.split(r"[\s,]+", found[3]) if word != "schema"]
        near = difflib.get_close_matches(option, options, n=1)
        if group == "experiment" and option in known_claims():
            return f"{group}={option}: is a claim of the paper, which python src/reproduce.py experiment=NAME tests"
        advice = f"did you mean {near[0]}? There are" if near else "choose from"
        return f"{group}={option}: no such option; {advice} {', '.join(options)}"
    if found := re.search(r"Error merging override (([\w.]+)=[^\n]*)\s.*is not a subclass of", text, re.DOTALL):
        return f"{found[1].strip()}: {found[2]} is a group of options; say {found[2]}.KEY=VALUE"
    if found := re.search(r"Error merging override ([^\n]+)", text):
        return f"{found[1].strip()}: {_plain_cause(chain)}"
    if found := re.search(r"full_key: ([\w.]+)", text):
        return _unknown_key(found[1]) if _lacks_key(chain) else f"{found[1]}: {_plain_cause(chain)}"
    if type(error).__name__ == "OverrideParseException":
        override = getattr(error, "override", "")
        return f"{override!r}: cannot be read as key=value; quote values that hold special characters"
    return _first_line(error)


def _explain_override(key: str, chain: list[BaseException]) -> str:
    return _unknown_key(key) if key not in known_keys() or _lacks_key(chain) else f"{key}: {_plain_cause(chain)}"


def _lacks_key(chain: list[BaseException]) -> bool:
    """Whether OmegaConf misses a key: one that nothing has, or that another option of its group has."""
    return any(isinstance(error, ConfigKeyError | ConfigAttributeError) for error in chain)


def _unknown_key(key: str) -> str:
    group, _, name = key.partition(".")
    if group in OWN and name == TARGET:
        return f"{key}: cannot be put onto an option that is built in; say {group}=own {key}=... and its arguments"
    if others := owners(key):
        return f"{key}: no such key here; it comes with {', '.join(others)}"
    if (advice := hint(key)) is None:
        near = nearest_key(key)
        advice = f"did you mean {near}?" if near else "python src/train.py --cfg job lists every key"
    return f"{key}: no such key; {advice}"


def _of_options(message: str) -> str:
    """What the parser of options says, and what it does not say of words that are none."""
    if found := re.search(r"unrecognized arguments: --?([A-Za-z_-]+)", message):
        key = found[1].replace("-", "_")
        if advice := hint(key) or (f"did you mean {key}?" if key in known_keys() else None):
            return f"--{found[1]}: options of a run are given as KEY=VALUE; {advice}"
    if re.search(r"unrecognized arguments: [^-\s]", message):
        message += "; options come first, as in python src/train.py -m KEY=VALUE KEY=VALUE"
    return message


def _plain_cause(chain: list[BaseException]) -> str:
    """The explanation in OmegaConf's words; what lies below it speaks of Python."""
    own = [error for error in chain if isinstance(error, OmegaConfBaseException)]
    return _first_line(own[0] if own else chain[-1])


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
