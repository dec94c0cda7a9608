"""The wheel, installed in a folder of its own: `alexnet-lab PROGRAM` does what `python src/PROGRAM.py` does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from alexnet_lab.runs import checkpoint_file
from conftest import HANG, SOURCE, one_thread
from processes import wait_for, working_in

pytestmark = pytest.mark.slow

Installed = Callable[..., subprocess.CompletedProcess[str]]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what a wheel of this checkout installs, made by way of an archive of its sources."""
    project, wheels, site = (tmp_path_factory.mktemp(name) for name in ("project", "wheels", "site"))
    for name in ("src", "conf", "experiments"):  # building leaves files where it builds
        shutil.copytree(
            SOURCE.parent / name, project / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(SOURCE.parent / name, project)
    pack = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    subprocess.run([sys.executable, "-c", pack], cwd=project, check=True, timeout=HANG)
    [sources] = (project / "dist").iterdir()
    build = ("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(wheels), str(sources))
    subprocess.run([*PIP, *build], check=True, timeout=HANG)
    [wheel] = wheels.iterdir()
    subprocess.run(
        [*PIP, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], check=True, timeout=HANG
    )
    return site


@pytest.fixture
def installed(site: Path, tmp_path: Path) -> Installed:
    """installed("train", *arguments) runs alexnet-lab in tmp_path and returns the finished process."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(site / "bin" / "alexnet-lab"), *arguments]
        environment = one_thread() | {"PYTHONPATH": str(site)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG, check=False
        )

    return run


def test_the_wheel_holds_what_a_checkout_has(site: Path) -> None:
    shipped = site / "alexnet_lab" / "shipped"
    root = SOURCE.parent
    ours = {*SOURCE.glob("*.py"), *(root / "conf").rglob("*.yaml"), *(root / "experiments").rglob("*.yaml")}
    assert {file.relative_to(root) for file in ours} == {
        file.relative_to(shipped) for file in shipped.rglob("*") if file.suffix in (".py", ".yaml")
    }
    assert (site / "alexnet_lab" / "py.typed").exists()
    assert (site / "hydra_plugins" / "alexnet_lab_sweeps.py").exists()


def test_a_run_its_evaluation_and_a_sweep(installed: Installed, small: tuple[str, ...], tmp_path: Path) -> None:
    trained = installed("train", *small, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.splitlines()[-1] == "next: alexnet-lab evaluate run=run views=ten-crop"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["commit"] == "unknown"  # rather than that of a repository that the environment lies in

    evaluated = installed("evaluate", "run=run")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f"top-1 error {100 * result['metrics']['val_top1_error']:.2f} %" in evaluated.stdout

    swept = installed("train", "-m", "seed=0,1", "sweep=a", *small)
    assert swept.returncode == 0, swept.stderr
    assert "2 jobs: 2 done" in swept.stderr
    same = json.loads((tmp_path / "runs" / "a" / "seed-0" / "result.json").read_text())
    assert same["metrics"]["val_top1_error"] == result["metrics"]["val_top1_error"]
    assert installed("reproduce", "status").stdout.splitlines() == ["runs/a: 2 jobs: 2 complete"]


def test_two_processes_of_a_run(installed: Installed, small: tuple[str, ...], tmp_path: Path) -> None:
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    answer = installed("train", *small, *two, "hydra.run.dir=run")
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["parts"][0]["devices"] == 2


OWN_PARTS = {
    "model/small.yaml": "_target_: parts_of_ones_own.SmallNetwork\ninput_size: 28\nstored_size: 32\n",
    "data/stripes.yaml": "_target_: parts_of_ones_own.Stripes\nimages_per_class: 20\n",
    "callbacks/count.yaml": "count: {_target_: parts_of_ones_own.Counter}\n",
    "depth.yaml": """
title: Depth
claim: Two more layers lower the error.
section: not in the paper
base: one
seeds: 2
cost: two minutes
command: alexnet-lab reproduce
margin: {top1: 1.0, top5: 0.5}
variants:
  one: {label: one layer, overrides: [model=small, callbacks=count, model.depth=1]}
  three: {label: three layers, overrides: [model=small, callbacks=count, model.depth=3]}
""",
}


def test_a_sweep_of_ones_own_parts_is_killed_and_continued(site: Path, installed: Installed, tmp_path: Path) -> None:
    """Network, data set, callback and question come from a folder; each of four jobs has two processes."""
    for name, content in OWN_PARTS.items():
        (tmp_path / "my" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my" / name).write_text(content)
    shutil.copy(SOURCE.parent / "tests" / "parts_of_ones_own.py", tmp_path / "my")
    two = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.checkpoint_steps=4")
    settings = (*two, "optim.batch_size=20", "optim.epochs=40", "optim.validations=2", "logger=none")
    sweep = ("reproduce", "--config-dir", "my", "experiment=my/depth.yaml", "data=stripes", "jobs=1", *settings)
    first = tmp_path / "runs" / "depth-stripes" / "one_seed-0"

    command = [str(site / "bin" / "alexnet-lab"), *sweep]
    begun = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=one_thread() | {"PYTHONPATH": str(site)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (first / "checkpoints" / "previous.ckpt").exists())
    while running := working_in(tmp_path):
        for process in running:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        begun.poll()
    assert begun.wait(timeout=HANG) == -signal.SIGKILL
    assert not (first / "result.json").exists()

    continued = installed(*sweep)
    assert continued.returncode == 0, continued.stderr
    assert "4 jobs: 1 continued and done, 3 done" in continued.stderr
    assert continued.stdout.startswith("Depth\n")
    table = json.loads((tmp_path / "reports" / "depth-stripes" / "depth" / "table.json").read_text())
    assert [(row["variant"], row["n"]) for row in table["rows"]] == [("one", 2), ("three", 2)]

    alone = (
        "train",
        "--config-dir",
        "my",
        "model=small",
        "data=stripes",
        "callbacks=count",
        "model.depth=1",
        *settings,
    )
    answer = installed(*alone, "seed=0", "hydra.run.dir=alone")
    assert answer.returncode == 0, answer.stderr
    ends = [checkpoint_file.read(folder / "checkpoints" / "last.ckpt") for folder in (first, tmp_path / "alone")]
    assert ends[0]["state_dict"].keys() == ends[1]["state_dict"].keys()
    assert all(torch.equal(tensor, ends[1]["state_dict"][name]) for name, tensor in ends[0]["state_dict"].items())
    counts = [(folder / "callback_metrics.csv").read_text() for folder in (first, tmp_path / "alone")]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("trian",), "error: alexnet-lab trian: no such program; did you mean train? There are compare, dashboard, "),
        ((), "error: alexnet-lab ...: no such program; name one of compare, dashboard, "),
        (("train", "test=true"), "error: test: no such key; alexnet-lab evaluate run=FOLDER gives the errors of "),
    ],
)
def test_mistakes_end_in_a_line(installed: Installed, arguments: tuple[str, ...], line: str, tmp_path: Path) -> None:
    answer = installed(*arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith(line)
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_program(installed: Installed) -> None:
    answer = installed("--help")
    assert answer.returncode == 0
    assert {file.stem for file in SOURCE.glob("*.py")} <= set(answer.stdout.split())
    assert "alexnet-lab sync [folder=runs]" in installed("sync", "--help").stdout
