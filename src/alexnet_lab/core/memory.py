"""Memory that is freed stays with the process: asking the system for it anew is a tenth of a training step's time."""

from __future__ import annotations

import ctypes
import os

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Serve large tensors from memory that is kept, in huge pages where the system grants them.

    Call it before the first tensor or image is made. glibc gives a large block back as soon as it is freed, and the
    system clears each page of the next one. The process stays as large as it has ever been. Other C libraries are left
    alone.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch's own switch
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
