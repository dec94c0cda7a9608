"""A sweep that W&B plans: its file is given to the real client, whose agent starts the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import HANG, SOURCE, one_thread
from tracking.stand_in import KEY, StandIn

pytestmark = pytest.mark.slow

FILE = SOURCE.parent / "experiments" / "wandb" / "learning_rate.yaml"


def test_an_agent_runs_what_the_sweep_file_says(small: tuple[str, ...], tmp_path: Path) -> None:
    plan = yaml.safe_load(FILE.read_text())
    plan["command"] += [*small, "logger=wandb"]
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    (tmp_path / "src").symlink_to(SOURCE)
    tools = Path(sys.executable).parent
    own = one_thread() | {"HOME": str(tmp_path), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}

    def wandb(*words: str) -> str:
        answer = subprocess.run(
            [tools / "wandb", *words],
            cwd=tmp_path,
            env=own | server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=HANG,
        )
        assert answer.returncode == 0, answer.stdout
        return answer.stdout

    with StandIn() as server:
        said = wandb("sweep", "--project", "alexnet-lab", "plan.yaml")
        assert "wandb agent somebody/alexnet-lab/sweep0" in said
        said = wandb("agent", "--count", "2", "somebody/alexnet-lab/sweep0")
        assert server.unknown == [], said

        assert server.runs.keys() == {"planned0", "planned1"}, said
        for number, (name, run) in enumerate(server.runs.items()):
            assert run.exit_code == 0, said
            assert (run.bucket["sweep"], run.bucket["project"]) == ("sweep0", "alexnet-lab")
            assert (run.bucket["groupName"], run.bucket["jobType"]) == ("wandb-learning-rate", "train")
            chosen = {"seed": number, "model.dropout": (0.0, 0.5)[number], "optim.learning_rate": 0.001}
            assert {key: run.config[key] for key in chosen} == chosen
            assert 0 <= run.summary["best_val_top1_error"] <= 1  # what the sweep minimizes
            [record] = tmp_path.glob(f"runs/wandb-learning-rate/*/wandb/run-*-{name}")
            folder = record.parents[1]
            assert (folder / "wandb_run_id").read_text().strip() == name
            assert (folder / "result.json").exists()
        assert KEY.encode() not in server.sent
