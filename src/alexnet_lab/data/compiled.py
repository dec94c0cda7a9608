"""Functions compiled by Numba for the machine that they run on. Importing this raises ImportError without Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(signature: str | None = None) -> Callable[..., Any]:
    """Numba's decorator, without Python's lock; with a signature the function is compiled at once.

    What it makes of it is kept beside the source for the next process, which reads it in a moment.
    """

    def compile_(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)
        except RuntimeError:  # there is no folder in which the code could be kept
            return numba.njit(signature, nogil=True)(function)

    return compile_
