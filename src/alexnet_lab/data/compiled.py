"""Functions compiled by Numba for the machine that they run on. Importing this raises ImportError without Numba."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

log = logging.getLogger(__name__)


def compiled(signature: str) -> Callable[..., Any]:
    """Numba's decorator, without Python's lock: the function is compiled at once, with those of numba.njit it calls.

    What comes out is kept beside the source for the next process, which reads it in a moment.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        numba.config.CACHE_DIR = str(_folder(Path(function.__code__.co_filename)))  # type: ignore[attr-defined]
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except Exception as error:  # what was kept is cut or another user's, or nothing can be written
            log.debug("%s is compiled for this process alone: %r", function.__name__, error)
            return numba.njit(signature, nogil=True)(function)

    return compile_


def _folder(source: Path) -> Path:
    """A folder for each content of the source and each kind of processor.

    Numba tells these apart by itself, but two machines that share a disk and write at once can mix up its files.
    """
    kind = (numba.__version__, llvmlite.binding.get_host_cpu_name(), llvmlite.binding.get_host_cpu_features().flatten())
    digest = hashlib.sha256(source.read_bytes() + repr(kind).encode()).hexdigest()
    return source.parent / "__pycache__" / f"numba-{digest[:16]}"
