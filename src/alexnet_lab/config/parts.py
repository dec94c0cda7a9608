"""Makes what a configuration names with `_target_`: found, asked for its arguments, called. One way for every kind.

Whatever is named here runs: nothing of a run folder comes here without trust=true (`refuse_strangers`).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from alexnet_lab.config.own import TARGET, OwnPart
from alexnet_lab.core.errors import UserError

log = logging.getLogger(__name__)


def import_from(folders: Sequence[str]) -> None:
    """Let Python find modules in these folders too, after its own: a file of the same name there hides nothing."""
    for folder in folders:
        if not Path(folder).is_dir():
            raise UserError(f"import_from: {folder} is no folder; name the one that holds your modules")
        if folder not in sys.path:
            sys.path.append(folder)


def refuse_strangers(settings: Mapping[str, Any], groups: Sequence[str], file: Path, trust: bool) -> None:
    """Raise UserError where groups of a configuration that came with a file name what is not built in, without trust.

    With trust, modules are looked for where the configuration says that they were.
    """
    for group in groups:
        part = settings.get(group)
        if isinstance(part, Mapping) and TARGET in part and not trust:
            raise UserError(
                f"{file}: {group} is {part[TARGET]!s:.80}, which is not built in and would run; if you trust where the "
                "file comes from, and the code of that name here, add trust=true"
            )
    if trust and isinstance(folders := settings.get("import_from"), Sequence):
        import_from([folder for folder in map(str, folders) if Path(folder).is_dir()])


def found(key: str, target: str) -> Callable[..., Any]:
    """What a target names. Raises UserError: no such module, one that cannot be imported, no such name in it."""
    words, module = target.split("."), None
    for count in range(len(words) - 1, 0, -1):
        name = ".".join(words[:count])
        try:
            with _one_line(key, f"importing {name}"):
                module = importlib.import_module(name)
            break
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # of something that it imports
                raise UserError(f"{key}.{TARGET}={target}: {name} needs {error.name}, which is not installed") from None
    if module is None:
        raise UserError(f"{key}.{TARGET}={target}: there is no module {words[0]}; {_where(words[0])}")
    value: Any = module
    for word in words[count:]:
        if not hasattr(value, word):
            names = [name for name in dir(value) if not name.startswith("_")]
            near = difflib.get_close_matches(word, names, n=1)
            advice = f"did you mean {near[0]}?" if near else f"look into {getattr(module, '__file__', module)}"
            raise UserError(f"{key}.{TARGET}={target}: {'.'.join(words[:count])} has no {word}; {advice}")
        value = getattr(value, word)
    if not callable(value):
        raise UserError(f"{key}.{TARGET}={target}: is no class or function")
    return value


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether an argument of this name is among a function's own."""
    return name in _parameters(function)


def check_arguments(key: str, target: str, names: Sequence[str], given: Sequence[str] = ()) -> Callable[..., Any]:
    """What a target names. Raises UserError where it does not take arguments of these names, or needs others.

    given: what it is called with besides, which it must take too.
    """
    function = found(key, target)
    own = _parameters(function)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return function
    takes_by_name = [name for name, p in own.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in given:
        if name not in takes_by_name:
            raise UserError(f"{key}: {target} takes no {name}, which it is given; it takes {_few(takes_by_name)}")
    for name in names:
        if name not in takes_by_name:
            near = difflib.get_close_matches(name, [own for own in takes_by_name if own not in given], n=1)
            advice = f"did you mean {key}.{near[0]}?" if near else f"it takes {_few(takes_by_name)}"
            raise UserError(f"{key}.{name}: {target} takes no such argument; {advice}")
    for name in takes_by_name:
        if own[name].default is inspect.Parameter.empty and name not in (*names, *given):
            raise UserError(f"{key}.{name}: {target} needs it; say {key}.{name}=VALUE")
    return function


def make(key: str, part: OwnPart | Mapping[str, Any], *first: Any, **given: Any) -> Any:
    """What a part names, called with `first`, its own arguments and what is given. Raises UserError of one line.

    Arguments that have a _target_ themselves are made before, as Hydra does.
    """
    target, arguments = (part._target_, part.arguments) if isinstance(part, OwnPart) else _told(part)
    check_arguments(key, target, list(arguments), [*_positional(key, target, len(first)), *given])
    with _one_line(key, target):
        settings = OmegaConf.create({**arguments, TARGET: target})
        call: partial[Any] = instantiate(settings, _partial_=True, _convert_="all")
        return call(*first, **given)


def _told(part: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return part[TARGET], {name: value for name, value in part.items() if name != TARGET}


def _positional(key: str, target: str, count: int) -> list[str]:
    """Names of a target's first arguments."""
    return list(_parameters(found(key, target)))[:count]


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (ValueError, TypeError):  # of C, without a signature: what it takes is seen when it is called
        return {"kwargs": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}


@contextmanager
def _one_line(key: str, what: str) -> Iterator[None]:
    """What goes wrong in somebody's code in one line, with the place; the whole trace is in the log."""
    try:
        yield
    except (UserError, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:
        log.debug("%s: %s", key, what, exc_info=True)
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        raise failed(key, what, cause) from error


def failed(key: str, what: str, error: BaseException) -> UserError:
    """The line for an exception of somebody's code."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "?"
    said = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return UserError(f"{key}: {what}: {said[:300]} ({place})")


def own_code(folders: Sequence[str], targets: Sequence[str]) -> str:
    """Modules of one's own that are imported, each with a checksum: those in these folders, and those that the targets
    are in where they are not installed, whose code has a version. "" where there are none.
    """
    roots, told = [Path(folder).resolve() for folder in folders], {}
    if not roots and not targets:
        return ""
    resolved = cache(Path.resolve)  # of some hundred folders, which thousands of modules are in
    for name, module in tuple(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        file = resolved(file.parent) / file.name
        named = any(target.startswith(f"{name}.") for target in targets) and not is_installed(file)
        if file.is_file() and (named or any(file.is_relative_to(root) for root in roots)):
            told[name] = sha256(file.read_bytes()).hexdigest()[:12]
    return " ".join(f"{name}:{checksum}" for name, checksum in sorted(told.items()))


def is_installed(file: Path) -> bool:
    """Whether a module came with Python or a package."""
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return bool(installed) or file.is_relative_to(sysconfig.get_paths()["stdlib"])


def _few(names: Sequence[str]) -> str:
    return (", ".join(names[:12]) + (" ..." if len(names) > 12 else "")) or "none"


def _where(name: str) -> str:
    """Where somebody's module is looked for, or the one in those folders that is most like it."""
    ours = Path(__file__).resolve().parents[2]
    folders = [Path(folder) for folder in sys.path if folder and Path(folder).is_dir() and Path(folder) != ours]
    files = {file.stem for folder in folders[-3:] for file in folder.glob("*.py")}
    near = difflib.get_close_matches(name, files, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return "put its file into the folder of --config-dir, or name its folder with import_from=[FOLDER] or PYTHONPATH"
