"""Real runs of wandb's own client against a stand-in for its server, which answers, fails, hangs or vanishes."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from alexnet_lab.core.errors import PREEMPTED_EXIT_CODE, Preempted, Stopped, UserError
from alexnet_lab.tracking.wandb_process import KILLED_EXIT_CODE, gpu_numbers
from alexnet_lab.tracking.wandb_tracker import exit_code
from conftest import HANG
from processes import wait_for
from tracking.stand_in import KEY, StandIn
from tracking.tracked import Start, starter
from training.continued_runs import own_signals, signal_at, tiny, train_until_done  # noqa: F401

pytestmark = pytest.mark.slow

SECRET = "planted-where-nobody-may-find-it"
STEPS = 28  # of a watched run
MEDIA = ("conv1_kernels", "confusion_matrix", "top5", "misclassified")


@pytest.fixture
def tracked(tmp_path: Path) -> Start:
    return starter(tmp_path)


@pytest.fixture
def watched(small: tuple[str, ...]) -> tuple[str, ...]:
    """Overrides for a run of a few seconds on W&B."""
    return (*small, "logger=wandb", "logger.wandb.private=true", "trainer.max_epochs=2")


def the_folder(tmp_path: Path, sweep: str) -> Path:
    [folder] = [path for path in (tmp_path / "runs" / sweep).iterdir() if path.is_dir()]
    return folder


def assert_complete(server: StandIn, folder: Path) -> None:
    """The run arrived whole: rows, errors, images, weights."""
    assert server.unknown == []
    [(number, run)] = server.runs.items()
    assert number == (folder / "wandb_run_id").read_text().strip()
    assert [row["_step"] for row in run.history] == list(range(1, STEPS + 1))
    result = json.loads((folder / "result.json").read_text())
    assert abs(run.history[-1]["val_top1_error"] - result["metrics"]["val_top1_error"]) < 1e-6
    assert abs(run.summary["best_val_top1_error"] - result["metrics"]["best_val_top1_error"]) < 1e-6
    assert run.exit_code == 0
    for name in MEDIA:
        for step in (STEPS // 2, STEPS):
            assert [file for file in run.files if file.startswith(f"media/images/{name}_{step}_")], list(run.files)
    [weights] = server.artifacts.values()
    assert (weights["type"], weights["run"], weights["state"]) == ("model", number, "COMMITTED")
    assert weights["files"]["best.safetensors"] == (folder / "wandb" / "best.safetensors").read_bytes()


def assert_private(server: StandIn, tmp_path: Path) -> None:
    """Neither a key nor a folder of this machine is in what was sent, or written for W&B."""
    written = [path for path in (tmp_path / "runs").glob("*/*/wandb/**/*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in written)
    # The images' folder is the tests' too; this machine's name may be a short word.
    for private in (KEY, SECRET, str(tmp_path), "pytest-", f'"{os.uname().nodename}"', "def main"):
        assert private.encode() not in server.sent, private
        for path in written:
            assert private.encode() not in path.read_bytes(), f"{private} in {path}"
    for path in tmp_path.rglob("*"):  # logs and configuration, and what lies at home
        if path.is_file():
            assert not {secret for secret in (KEY, SECRET) if secret.encode() in path.read_bytes()}, path


def test_an_online_run_arrives_complete_and_tells_nothing_private(tracked, watched, tmp_path: Path) -> None:
    with StandIn() as server:
        secrets = {"AWS_SECRET_ACCESS_KEY": SECRET}
        process = tracked("train.py", *watched, "sweep=online", "seed=3", environment=server.environment | secrets)
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == 0, output
        assert output.count("W&B") == 1, output
        assert_complete(server, the_folder(tmp_path, "online"))
        [run] = server.runs.values()
        assert (run.bucket["groupName"], run.bucket["jobType"]) == ("online", "train")
        assert run.bucket["displayName"].endswith("_seed-3")
        assert (run.config["seed"], run.config["model.lrn"], run.config["optim.batch_size"]) == (3, True, 32)
        assert "data.store_root" not in run.config
        assert_private(server, tmp_path)


def test_how_a_run_ended_is_what_the_program_exits_with() -> None:
    ends = {UserError("wrong"): 2, Preempted("asked"): PREEMPTED_EXIT_CODE, Stopped("by hand"): 130, ValueError(): 1}
    assert [exit_code(error) for error in (None, *ends)] == [0, *ends.values()]


def test_what_was_offline_is_uploaded_once(tracked, watched, tmp_path: Path) -> None:
    process = tracked("train.py", *watched, "sweep=later")
    output = process.communicate(timeout=HANG)[0]
    assert "W&B: offline (no key); `make sync` uploads it later" in output
    assert output.count("W&B") == 1, output
    folder = the_folder(tmp_path, "later")

    without = tracked("sync.py")
    assert "no key" in without.communicate(timeout=HANG)[0]
    assert without.returncode == 2

    with StandIn() as server:  # an upload that is killed in the middle
        server.moody_from, server.later = "/file_stream", "hanging"
        process = tracked("sync.py", environment=server.environment)
        while process.poll() is None and server.mood == "healthy":
            time.sleep(0.02)
        for number in (process.pid, *descendants(process.pid)):
            os.kill(number, signal.SIGKILL)
        process.communicate(timeout=HANG)

    with StandIn() as server:
        for expected in ("all 1 runs are uploaded", "nothing waits to be uploaded"):
            process = tracked("sync.py", environment=server.environment)
            output = process.communicate(timeout=HANG)[0]
            assert process.returncode == 0, output
            assert expected in output
            assert_complete(server, folder)
        assert server.operations.count("CreateArtifact") == 1
        assert_private(server, tmp_path)


@pytest.mark.parametrize("trouble", ["failing", "hanging", "vanished"])
def test_a_server_in_trouble_leaves_training_unharmed(trouble: str, tracked, watched, tmp_path: Path) -> None:
    with StandIn() as server:
        server.moody_from, server.later = "/file_stream", trouble
        process = tracked("train.py", *watched, "sweep=tried", environment=server.environment)
        while process.poll() is None and not list((tmp_path / "runs").glob("tried/*/result.json")):
            time.sleep(0.02)
        waits_for_the_server = process.poll() is None
        output = process.communicate(timeout=HANG)[0]
        assert waits_for_the_server, "the result came last"
    assert process.returncode == 0, output
    folder = the_folder(tmp_path, "tried")
    assert (folder / "result.json").exists()
    assert "make sync" in output, output

    with StandIn() as server:
        process = tracked("sync.py", environment=server.environment)
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == 0, output
        assert_complete(server, folder)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [("hanging", "no answer from the server"), ("failing", "the server answers 500"), ("vanished", "no network")],
)
def test_a_server_in_trouble_from_the_start_is_left_alone(trouble, said, tracked, watched, tmp_path: Path) -> None:
    with StandIn(trouble) as server:
        if trouble == "vanished":
            server.vanish()
        process = tracked("train.py", *watched, "sweep=alone", environment=server.environment)
        output = process.communicate(timeout=HANG)[0]
    assert process.returncode == 0, output
    assert f"W&B: offline ({said}); `make sync` uploads it later" in output
    assert output.count("W&B") == 1, output
    assert list(the_folder(tmp_path, "alone").glob("wandb/offline-run-*/*.wandb"))
    assert server.operations == []


@pytest.mark.parametrize("victim", ["wandb_process", "wandb-core"])
def test_a_tracker_that_is_killed_does_not_take_the_training_with_it(victim: str, tracked, watched, tmp_path) -> None:
    process = tracked("train.py", *watched, "sweep=killed", "trainer.max_epochs=3")
    killed = threading.Event()

    def kill() -> None:
        while process.poll() is None and not killed.is_set():
            if (tmp_path / "runs").exists() and list((tmp_path / "runs").glob("killed/*/wandb/offline-run-*/*.wandb")):
                for number in descendants(process.pid):
                    if victim in command_of(number):
                        os.kill(number, signal.SIGKILL)
                        killed.set()
            time.sleep(0.02)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    output = process.communicate(timeout=HANG)[0]
    thread.join(HANG)
    assert killed.is_set()
    assert process.returncode == 0, output
    assert (the_folder(tmp_path, "killed") / "result.json").exists()
    assert output.count("W&B: stopped (") == 1, output


@pytest.mark.parametrize("agent", [{}, {"WANDB_SWEEP_ID": "sweep0", "WANDB_RUN_ID": "planned0"}], ids=["", "agent"])
def test_a_run_that_is_asked_to_end_goes_on_as_the_same_run(agent, tracked, watched, tmp_path: Path) -> None:
    with StandIn() as server:
        process = tracked("train.py", *watched, "sweep=asked", environment=server.environment | agent)
        # At its first steps, for the small run may be over before W&B has answered.
        while process.poll() is None and not any(
            file.read_text().count("\n") > 1 for file in (tmp_path / "runs").glob("asked/*/metrics.csv")
        ):
            time.sleep(0.01)
        process.terminate()
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == PREEMPTED_EXIT_CODE, output
        [run] = server.runs.values()
        assert run.preempting is not bool(agent)  # W&B would have an agent start it again, which was asked to end it
        assert run.exit_code == PREEMPTED_EXIT_CODE

        process = tracked("train.py", *watched, "sweep=asked", environment=server.environment)
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == 0, output
        assert_complete(server, the_folder(tmp_path, "asked"))


def test_the_stop_button_ends_a_run_with_its_place_saved_and_a_sweep_does_not_try_it_again(
    tracked, watched, tmp_path: Path
) -> None:
    sweep = ("-m", *watched, "trainer.max_epochs=1000", "sweep=stopped", "seed=0")
    with StandIn() as server:
        server.stopped = True  # which W&B's client asks for every 15 seconds
        process = tracked("train.py", *sweep, environment=server.environment)
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == 2, output
        assert " stopped by hand (exit code 130)" in output
        assert "ended by the stop button of W&B after step " in output
        assert "which is saved; continue with: " in output
        assert output.count("failed (") == 1
        [run] = server.runs.values()
        assert (run.exit_code, run.preempting) == (130, False)
        assert run.history
    assert (the_folder(tmp_path, "stopped") / "checkpoints" / "last.ckpt").exists()


def test_an_epoch_that_is_interrupted_in_its_validation_is_told_when_the_run_goes_on(
    store_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandIn() as server:
        for name, value in {**server.environment, "HOME": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("alexnet_lab.tracking.wandb_tracker.ENDING_SECONDS", HANG)  # W&B's start may take longer
        signal_at(monkeypatch, "validation_step", lambda module: module.trainer.global_step == 7)
        said = train_until_done(tiny(store_root, "logger=wandb"), tmp_path / "run")
        assert len(said) == 1
        [run] = server.runs.values()
        assert [row["_step"] for row in run.history if "val_top1_error" in row] == [7, 14, 21]
        assert [row["_step"] for row in run.history if "train_loss" in row] == list(range(1, 22))


def test_a_run_that_fails_or_is_killed_is_told_so(tracked, watched, tmp_path: Path) -> None:
    with StandIn() as server:
        diverging = ("optim.learning_rate=100", "sweep=failing")
        process = tracked("train.py", *watched, *diverging, environment=server.environment)
        output = process.communicate(timeout=HANG)[0]
        assert process.returncode == 2, output
        [failed] = server.runs.values()
        assert failed.exit_code == 2

        process = tracked("train.py", *watched, "sweep=killed", environment=server.environment)
        while process.poll() is None and len(server.runs) < 2:
            time.sleep(0.01)
        process.kill()
        process.communicate(timeout=HANG)
        [killed] = (run for run in server.runs.values() if run is not failed)
        wait_for(lambda: killed.exit_code is not None)
        assert killed.exit_code == KILLED_EXIT_CODE


def test_a_run_shows_the_gpus_that_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {"2": [2], "0,3": [0, 3], "GPU-5ebe9fd0": None, "": None}
    for visible, numbers in shown.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpu_numbers() == numbers


def descendants(pid: int) -> list[int]:
    """Every process that this one, or one of them, started."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            number = int(path.parent.name)
            found += [number, *descendants(number)]
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
