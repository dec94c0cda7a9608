"""One job at a time, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path

from alexnet_lab.core.locks import locked
from conftest import HANG, SOURCE


def count_up(counter: Path) -> None:
    """Read a number and write the next one, which goes wrong where two do so at once."""
    for _ in range(100):
        with locked(counter.parent / ".lock", "Waiting"):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_one_at_a_time_although_the_file_comes_and_goes(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_up, args=(tmp_path / "counter",)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG)
    assert (tmp_path / "counter").read_text() == "400"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    program = """
import sys, time; from pathlib import Path; from alexnet_lab.core.locks import locked
with locked(Path(sys.argv[1]), "Waiting"): print("held", flush=True); time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SOURCE)}) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path / ".lock", "Waiting"):
        assert (tmp_path / ".lock").exists()
    assert not list(tmp_path.iterdir())
