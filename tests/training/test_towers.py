"""A tower on each of two devices: the same run as on one, by way of the same files."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from continued_runs import TINY, outcome, own_signals, signal_at, tiny  # noqa: F401
from test_lost_ranks import ranks, start, steps

from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, Preempted
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.training.module import Classifier
from alexnet_lab.training.run import train
from conftest import HANG
from processes import wait_for

pytestmark = pytest.mark.slow

# One epoch of 7 steps, each with a norm above what is let through.
SHORT = ("model.width=0.0625", "model.towers=2", "optim.epochs=1", "trainer.gradient_clip_val=0.01")
TRAINERS = {
    "cpu": (1, ("trainer=cpu",)),
    "ddp": (2, ("trainer=ddp", "trainer.devices=2")),
    "towers": (2, ("trainer=towers",)),
    "two times two": (4, ("trainer=towers", "trainer.devices=4")),
}


def run_in(trainer: str, folder: Path, store_root: Path, *overrides: str, until: Callable[[Classifier], bool]) -> int:
    """The run, in as many processes as the trainer has; asked to end when `until` says so. Its exit code.

    The processes are forked and told what torchrun would tell them, so that nothing is imported again.
    """
    number, own = TRAINERS[trainer]
    run = tiny(store_root, *own, *SHORT, "trainer.accelerator=cpu", *overrides)
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_rank, args=(rank, number, port, run, folder, until)) for rank in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HANG)
        process.kill()
    [code] = {process.exitcode for process in processes}
    return code


def _rank(rank: int, number: int, port: int, run: RunConfig, folder: Path, until: Callable[[Classifier], bool]) -> None:
    if number > 1:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": number, "LOCAL_WORLD_SIZE": number, "GROUP_RANK": 0}
        told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        os.environ.update({name: str(value) for name, value in told.items()})
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        if rank == number - 1:  # any may be asked
            signal_at(patch, "training_step", until)
            signal_at(patch, "validation_step", until)
        try:
            train(run, folder, [])
        except Preempted:
            os._exit(PREEMPTED_EXIT_CODE)
        except SystemExit as left:
            os._exit(int(left.code or 0))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os._exit(0)


def never(module: Classifier) -> bool:
    return False


def at(step: int) -> Callable[[Classifier], bool]:
    """In the step that follows so many, or in the validation that does."""
    return lambda module: module.trainer.global_step == step


def weights_of(folder: Path) -> dict[str, Any]:
    checkpoint = checkpoint_file.read(folder / "checkpoints" / "last.ckpt")
    [optimizer] = checkpoint["optimizer_states"]
    momentum = {f"momentum {key}": state["momentum_buffer"] for key, state in optimizer["state"].items()}
    return {**checkpoint["state_dict"], **momentum}


def test_a_checkpoint_is_evaluated_alike_by_all_trainers(store_root: Path, tmp_path: Path) -> None:
    """It is saved when all steps are done, and the validation is due."""
    saved = tmp_path / "saved"
    assert run_in("towers", saved, store_root, until=at(7)) == PREEMPTED_EXIT_CODE
    weights, found = weights_of(saved), {}
    for trainer in TRAINERS:
        folder = tmp_path / trainer
        shutil.copytree(saved, folder)
        assert run_in(trainer, folder, store_root, until=never) == 0
        result = json.loads((folder / "result.json").read_text())
        found[trainer] = result["metrics"]
        assert result["parameters"] == sum(len(value.flatten()) for key, value in weights.items() if "mom" not in key)
        for name, value in weights_of(folder).items():
            assert torch.equal(value, weights[name]), (trainer, name)
    for metrics in found.values():
        for key, value in metrics.items():
            exactly = 0.0 if "error" in key else 1e-5
            assert value == pytest.approx(found["cpu"][key], rel=exactly, abs=0.0), key


def test_a_run_may_be_handed_from_trainer_to_trainer(store_root: Path, tmp_path: Path) -> None:
    """Without dropout, what each draws is the same: the weights are those of one process, up to rounding."""
    one, handed = tmp_path / "one", tmp_path / "handed"
    no_dropout = "model.dropout=0"
    assert run_in("cpu", one, store_root, no_dropout, until=never) == 0
    for number, trainer in enumerate(("cpu", "towers", "two times two", "ddp", "towers"), 1):
        ends = trainer == "towers" and number > 2
        code = run_in(trainer, handed, store_root, no_dropout, until=never if ends else at(number))
        assert code == (0 if ends else PREEMPTED_EXIT_CODE)
    whole = weights_of(one)
    for name, value in weights_of(handed).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-3, atol=1e-7)
    results = [json.loads((folder / "result.json").read_text()) for folder in (one, handed)]
    assert results[1]["metrics"]["train_loss"] == pytest.approx(results[0]["metrics"]["train_loss"], rel=1e-5)
    told = [(part["from_step"], part["devices"], "towers" in part) for part in results[1]["parts"]]
    assert told == [(0, 1, False), (2, 2, True), (3, 4, True), (4, 2, False), (5, 2, True)]


def test_a_killed_tower_ends_its_run_which_goes_on_to_the_same_bits(store_root: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    more = ("optim.epochs=6", "trainer.checkpoint_steps=1", "model.width=0.0625", "model.towers=2")
    assert run_in("towers", whole, store_root, *more, until=never) == 0
    run = start(parts, store_root, *more, common=(*TINY, "trainer=towers", SHORT[-1]))
    wait_for(lambda: steps(parts) >= 2)
    os.kill(ranks(parts)[1], signal.SIGKILL)
    said = run.communicate(timeout=HANG)[1]
    assert run.returncode == 2
    assert "rank 1 was ended by SIGKILL" in said
    log = (parts / "train.log").read_text()
    assert "this process has tower 0, " in log
    assert run_in("towers", parts, store_root, *more, until=never) == 0
    assert outcome(parts) == outcome(whole)
