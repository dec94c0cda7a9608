"""Memory that is freed stays with the process, to be used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from conftest import HANG, SOURCE

pytestmark = pytest.mark.slow

# The size of what is mapped, not how often the system hands out a page, which depends on who else wants memory.
PROGRAM = """
import pathlib, resource, sys
sys.path.insert(0, sys.argv[1])
from alexnet_lab.core.memory import keep_freed_memory
if sys.argv[2] == "keep":
    keep_freed_memory()
import torch
def mapped():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
def given_back(tensor):
    before = mapped()
    del tensor
    return before - mapped()
print(given_back(torch.ones(2**24)))  # 64 MiB
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be told to keep memory")
def test_the_memory_of_a_large_tensor_is_kept_when_it_is_freed() -> None:
    def given_back(choice: str) -> int:
        answer = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(SOURCE), choice],
            capture_output=True,
            text=True,
            timeout=HANG,
            check=True,
        )
        return int(answer.stdout)

    assert given_back("keep") == 0
    assert given_back("do not") >= 2**26
