"""Whether the trackers of a run can be had, asked before anything is written. Loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec

from alexnet_lab.config.options import TrackerConfig
from alexnet_lab.core.errors import UserError

CLIENTS = {
    "tensorboard": (("tensorboard", "tensorboardX"), "TensorBoard is not installed; pip install tensorboard"),
    "mlflow": (("mlflow",), "MLflow is not installed; pip install mlflow-skinny, or mlflow"),
}


def check_trackers(choice: TrackerConfig) -> None:
    """Raise UserError where a tracker is not installed, or W&B cannot be reached by a run that has to be online.

    Where wandb is not installed a run says so and goes on, because it is the default.
    """
    for name in choice.names():
        modules, missing = CLIENTS.get(name, ((), ""))
        if modules and not any(map(find_spec, modules)):
            raise UserError(f"logger={name}: {missing}")
    named = choice.mlflow.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if "mlflow" in choice.names() and not named and not find_spec("sqlalchemy"):
        raise UserError(
            "logger=mlflow: mlflow-skinny keeps nothing itself; say logger.mlflow.tracking_uri=URL of a server, or pip "
            "install mlflow"
        )
    if "wandb" in choice.names() and choice.wandb.mode == "online" and (why := _not_online()):
        raise UserError(f"logger.wandb.mode=online: {why}; or drop it, and `make sync` uploads the run later")


@cache
def _not_online() -> str:
    """Why W&B cannot be reached and what helps; "" where it can. Asked in a process of its own, as a run does."""
    from alexnet_lab.tracking.wandb_pipe import environment  # here, because numpy takes time to load

    program = "import json; from alexnet_lab.tracking.wandb_access import find_access; a = find_access(wanted=True)"
    answer = subprocess.run(
        [sys.executable, "-c", f"{program}; print(json.dumps([a.mode, a.reason, a.remedy]))"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if answer.returncode:
        return "W&B's client does not start"
    mode, reason, remedy = json.loads(answer.stdout.strip().splitlines()[-1])
    return "" if mode == "online" else f"{reason}; {remedy}"
