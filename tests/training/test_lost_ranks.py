"""Two real processes: whatever happens to either, both end in time, somebody says why, and the run can go on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from continued_runs import STEPS, TINY, outcome
from test_distributed import processes, training_losses

from conftest import HANG, SOURCE, one_thread
from processes import wait_for

pytestmark = pytest.mark.slow

LIMIT = 40  # seconds that a rank waits for the other, which a slow machine may need to start it
TWO_RANKS = (*TINY, "trainer=ddp", "trainer.devices=2", f"trainer.collective_timeout={LIMIT}")


def start(
    folder: Path, store_root: Path, *overrides: str, common: tuple[str, ...] = TWO_RANKS
) -> subprocess.Popen[str]:
    command = [sys.executable, str(SOURCE / "train.py"), *common, f"data.store_root={store_root}", *overrides]
    return subprocess.Popen(
        [*command, f"hydra.run.dir={folder}"],
        cwd=folder.parent,
        env=one_thread(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ranks(folder: Path) -> list[int]:
    """The processes of the run that is going on, rank zero first."""
    found = {pid: text for pid, text in processes().items() if f"hydra.run.dir={folder}" in text}
    return sorted(found, key=lambda pid: "ddp_process_1" in found[pid])


def steps(folder: Path) -> int:
    return len(training_losses(folder)) if (folder / "metrics.csv").exists() else 0


def test_a_run_survives_whatever_happens_to_either_rank(store_root: Path, tmp_path: Path) -> None:
    """Epochs enough to be disturbed in; every step is saved, so each session goes on where the last was ended."""
    more = ("optim.epochs=15", "trainer.checkpoint_steps=1", "optim.schedule=milestones", "optim.milestones=[0.3,0.6]")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start(whole, store_root, *more).wait(HANG) == 0

    for rank, number, code, said in (
        (1, signal.SIGTERM, 75, r"ended by a signal to another rank after step \d+ of 105, which is saved; continue"),
        (1, signal.SIGKILL, 2, r"error: rank 1 was ended by SIGKILL; .* continue with: python src/train.py"),
        (1, signal.SIGSTOP, 2, rf"error: rank 1 did not come within {LIMIT} s \(trainer.collective_timeout\); "),
        (0, signal.SIGSTOP, -9, rf"error: rank 0 did not come within {LIMIT} s \(trainer.collective_timeout\); "),
    ):
        before = steps(parts)
        run = start(parts, store_root, *more)
        wait_for(lambda before=before: steps(parts) > before + 3)
        os.kill(ranks(parts)[rank], number)
        assert run.wait(HANG) == code, number
        wait_for(lambda: not ranks(parts))
        stderr = run.stderr.read()
        assert re.search(said, stderr), (number, stderr)
        assert "Traceback" not in stderr
        logs = "".join(file.read_text() for file in parts.glob("train*.log"))
        assert re.search(said.replace("error: ", ""), logs)
        assert not (parts / "result.json").exists()

    assert start(parts, store_root, *more).wait(HANG) == 0
    assert outcome(parts) == outcome(whole)
    assert json.loads((parts / "result.json").read_text())["steps"] == 5 * STEPS


def test_running_statistics_are_those_of_rank_zero(store_root: Path, tmp_path: Path) -> None:
    """Batch normalization's, which differ from rank to rank, decide what validation measures."""
    common = tuple(text for text in TWO_RANKS if not text.startswith("model."))
    common += ("model=resnet18", "model.input_size=32", "model.stored_size=64", "optim=mini", "optim.epochs=2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start(whole, store_root, common=common).wait(HANG) == 0
    run = start(parts, store_root, common=common)
    wait_for(lambda: steps(parts) > 2)
    run.send_signal(signal.SIGTERM)
    assert run.wait(HANG) == 75
    assert start(parts, store_root, common=common).wait(HANG) == 0
    assert outcome(parts)["rows"] == outcome(whole)["rows"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_cannot_start_takes_the_other_with_it(rank: int, store_root: Path, tmp_path: Path) -> None:
    """Before they have met, one would wait for the other for the whole of the time limit."""
    run = start(tmp_path / "run", store_root, f"trainer.collective_timeout={100 * HANG:.0f}")
    wait_for(lambda: len(ranks(tmp_path / "run")) == 2)
    os.kill(ranks(tmp_path / "run")[rank], signal.SIGKILL)
    assert run.wait(HANG) == (-9 if rank == 0 else 2)
    wait_for(lambda: not ranks(tmp_path / "run"))
    if rank == 1:
        assert run.stderr.read().strip().splitlines()[-1] == "error: rank 1 was ended by SIGKILL"


@pytest.mark.parametrize(
    ("limit", "code", "said"),
    [
        (100 * HANG, 75, "ended by SIGTERM before the ranks had met; the same command starts it again"),
        (20, 2, "error: rank 1 did not come within 20 s (trainer.collective_timeout)"),
    ],
)
def test_a_rank_that_stops_before_they_have_met(
    limit: float, code: int, said: str, store_root: Path, tmp_path: Path
) -> None:
    """Rank zero waits for it within PyTorch, and is asked to end, or has waited long enough."""
    folder = tmp_path / "run"
    run = start(folder, store_root, f"trainer.collective_timeout={limit:.0f}")
    wait_for(lambda: len(ranks(folder)) == 2)
    os.kill(ranks(folder)[1], signal.SIGSTOP)
    if code == 75:
        wait_for(lambda: "Initializing distributed" in (folder / "train.log").read_text())
        run.send_signal(signal.SIGTERM)
    assert run.wait(HANG) == code
    wait_for(lambda: not ranks(folder))
    assert run.stderr.read().splitlines()[-1] == said
    assert not list(folder.glob(".here-*"))


def test_an_address_where_nobody_answers(store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two machines; PyTorch tries again until the time is over."""
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "NODE_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    second = ("trainer.devices=1", "trainer.num_nodes=2", "trainer.collective_timeout=5")
    run = start(tmp_path / "run", store_root, *second)
    assert run.wait(HANG) == 2
    said = [line for line in run.stderr.read().splitlines() if not line.startswith("Preparing")]
    assert said == ["error: rank 0 did not come within 5 s (trainer.collective_timeout)"]
    assert not list((tmp_path / "run").glob(".here-*"))
