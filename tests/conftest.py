"""Fixtures that run the real program, as a person would, in an empty folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from full_disk import Disk

# Before torch is loaded: what is tested is small, and several tests share the machine.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# Where the tests were started in the background of a script, which has Ctrl-C ignored, programs would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)

SOURCE = Path(__file__).parents[1] / "src"
HANG = 600.0  # seconds after which a program hangs, on however slow and busy a machine; no test measures time

# A collection that takes a second to render and an epoch that takes seconds to train.
SMALL = (
    "data.num_classes=7",
    "data.train_images_per_class=64",
    "data.val_images_per_class=7",
    "optim.batch_size=32",
    "trainer.max_epochs=1",
    "logger=none",
)

Program = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs the real program is slow; tests that start or train something else say so themselves."""
    for item in items:
        if "program" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Where every test is to run (ALEXNET_LAB_NO_SKIPS), one that is skipped has failed, unless it needs a GPU,
    which nobody can install.
    """
    report = yield
    if report.skipped and os.environ.get("ALEXNET_LAB_NO_SKIPS") and item.get_closest_marker("gpu") is None:
        report.outcome = "failed"
        report.longrepr = f"skipped, where no test may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where prepared collections of this test session lie, so that each is made once."""
    return tmp_path_factory.mktemp("datasets")


@pytest.fixture
def program(tmp_path: Path, store_root: Path) -> Program:
    """program("train.py", *arguments) runs src/train.py in tmp_path and returns the finished process."""

    def run(script: str, *arguments: str, timeout: float = HANG) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(SOURCE / script), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, env=one_thread(), check=False
        )

    return run


@pytest.fixture
def small(store_root: Path) -> tuple[str, ...]:
    """Overrides for a run of a few seconds."""
    return (*SMALL, f"data.store_root={store_root}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 24 MB in tmp_path."""
    small = Disk(tmp_path / "disk")
    yield small
    small.close()


def one_thread() -> dict[str, str]:
    """The environment without anybody's account, and with one thread a process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return inherited | {"COLUMNS": "120"}
