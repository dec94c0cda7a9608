"""What a machine lacks is said before a run begins."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, NoReturn

import pytest

from alexnet_lab.cli.preflight import check_devices
from alexnet_lab.config.options import TrainerConfig
from alexnet_lab.core.errors import UserError


def test_processes_that_cannot_meet_without_a_loopback_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: Any) -> NoReturn:  # as under `unshare --net`, which needs a permission
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    two = TrainerConfig(accelerator="cpu", devices=2, strategy="ddp")
    check_devices(two)
    monkeypatch.setattr(socket, "socket", type("Unconnected", (socket.socket,), {"connect": connect}))
    check_devices(TrainerConfig(accelerator="cpu"))
    with pytest.raises(UserError, match=r"cannot meet at 127\.0\.0\.1 \(Network is unreachable\); bring the loopback"):
        check_devices(two)
