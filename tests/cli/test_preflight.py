"""What a machine lacks is said before a run begins."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hydra import compose, initialize_config_dir

from alexnet_lab.cli import preflight
from alexnet_lab.cli.preflight import check_devices
from alexnet_lab.config import schema
from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.core.paths import CONF
from alexnet_lab.runs import lock, paths


def test_processes_that_cannot_meet_without_a_loopback_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: Any) -> NoReturn:  # as under `unshare --net`, which needs a permission
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    two = TrainerConfig(accelerator="cpu", devices=2, strategy="ddp")
    check_devices(two)
    monkeypatch.setattr(socket, "socket", type("Unconnected", (socket.socket,), {"connect": connect}))
    check_devices(TrainerConfig(accelerator="cpu"))
    with pytest.raises(UserError, match=r"cannot meet at 127\.0\.0\.1 \(Network is unreachable\); bring the loopback"):
        check_devices(two)


def test_a_job_is_checked_by_its_sweep_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.register()
    paths.register_resolver()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [f"hydra.run.dir={tmp_path}"], return_hydra_config=True)
    checked: list[Path] = []
    monkeypatch.setattr(preflight, "check_job", lambda config, folder: checked.append(folder))
    monkeypatch.setattr(preflight, "_outlive_the_screen", lambda: None)

    of_its_scheduler = lock.take(tmp_path)
    assert of_its_scheduler is not None
    monkeypatch.setenv(lock.HANDED_DOWN, str(os.dup(of_its_scheduler.descriptor)))
    preflight.PreflightCheck().on_run_start(config)
    assert checked == []
    of_its_scheduler.release()
    assert lock.holder(tmp_path) == f"process {os.getpid()}"  # it holds what it has inherited

    monkeypatch.setenv(lock.HANDED_DOWN, "0")  # a file that is open, and not this folder's lock
    monkeypatch.setattr(preflight, "hold_for_life", lambda folder: None)
    preflight.PreflightCheck().on_run_start(config)
    assert checked == [tmp_path]
