"""Two real processes over gloo do what one does, and a dead one takes nothing with it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import HANG, SOURCE, one_thread
from processes import wait_for

pytestmark = pytest.mark.slow

TWO_RANKS = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")


def training_losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file) if row["train_loss"]]


def test_two_devices_train_as_one_does(program, small, tmp_path: Path) -> None:
    common = (*small, "model.dropout=0", "trainer.max_epochs=4")
    assert program("train.py", *common, "sweep=one").returncode == 0
    answer = program("train.py", *common, *TWO_RANKS, "sweep=two")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""  # neither Lightning's words nor PyTorch's

    [one], [two] = (list((tmp_path / "runs" / name).iterdir()) for name in ("one", "two"))
    assert len(training_losses(one)) >= 50
    assert training_losses(two)[:50] == pytest.approx(training_losses(one)[:50], rel=1e-3)

    results = [json.loads((folder / "result.json").read_text()) for folder in (one, two)]
    assert results[1]["hardware"]["devices"] == 2
    wrong = results[1]["metrics"]["val_top1_error"] * 7 * 7  # 49 images on two ranks, none counted twice
    assert abs(wrong - round(wrong)) < 1e-4
    logs = [(two / name).read_text() for name in ("train.log", "train_ddp_process_1.log")]
    configurations = [log.split("configuration:\n")[1].split("\n\n")[0] for log in logs]
    assert configurations[0] == configurations[1]
    seeds = [int(re.search("draws the first step's dropout from seed (\\d+)", log)[1]) for log in logs]
    assert seeds[0] % 2**32 != seeds[1] % 2**32  # torch's generator on the CPU looks at these bits alone


def test_two_machines_share_a_run(small, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    two = ("trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2", "trainer.accelerator=cpu")
    overrides = (*small, *two, "hydra.run.dir=run")
    machines = [
        subprocess.Popen(
            [sys.executable, str(SOURCE / "train.py"), *overrides],
            cwd=tmp_path,
            env=one_thread() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    said = [machine.communicate(timeout=HANG)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert json.loads((tmp_path / "run" / "result.json").read_text())["hardware"]["devices"] == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_its_own_job_alone(rank: int, small, tmp_path: Path) -> None:
    arguments = (*small, *TWO_RANKS, "trainer.max_epochs=12", "optim.epochs=12", f"sweep=killed-{rank}")
    sweep = subprocess.Popen(
        [
            sys.executable,
            str(SOURCE / "train.py"),
            "-m",
            "model.lrn=true,false",
            "hydra.launcher.jobs=1",
            "hydra.launcher.sweep_retries=0",
            *arguments,
        ],
        cwd=tmp_path,
        env=one_thread(),
        stderr=subprocess.PIPE,
        text=True,
    )
    first, second = (tmp_path / "runs" / f"killed-{rank}" / f"model.lrn-{value}" for value in ("true", "false"))
    wait_for(lambda: (first / "metrics.csv").exists() and len(training_losses(first)) >= 3)
    ranks = sorted((("ddp_process_1" in text), pid) for pid, text in processes().items() if first.name in text)
    assert [is_one for is_one, _ in ranks] == [False, True]
    os.kill(ranks[rank][1], signal.SIGKILL)

    stderr = sweep.communicate(timeout=HANG)[1]

    assert sweep.returncode == 2
    assert "1 of 2 jobs failed: model.lrn-true" in stderr
    assert not (first / "result.json").exists()
    assert json.loads((second / "result.json").read_text())["status"] == "completed"
    assert not [command for command in processes().values() if f"sweep=killed-{rank}" in command]


def processes() -> dict[int, str]:
    """Command lines of the processes of this machine that run this project, by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "train.py" in command:
                found[int(entry.name)] = command
    return found
