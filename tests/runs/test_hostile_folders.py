"""Run folders from strangers: nothing in them runs, leads elsewhere, waits for ever or takes the memory."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.config.options import RunConfig
from alexnet_lab.core.errors import UserError
from alexnet_lab.evaluation.members import load_members
from alexnet_lab.reports.collect import collect
from alexnet_lab.runs import checkpoint_file
from alexnet_lab.runs.paths import job_name
from alexnet_lab.runs.sweep_results import read_sweep
from alexnet_lab.sweeps.planning import check_same_run
from alexnet_lab.weights.run_folder import load_run
from conftest import HANG, SMALL, SOURCE, one_thread

pytestmark = pytest.mark.slow

GIGABYTE = 2**30
SETTINGS = (*SMALL, "trainer.max_epochs=2")
EXPORT = ("format=state_dict", "out=weights.pth")


class Hostile:
    """Unpickling this runs a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch pwned",)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, store_root: Path) -> Path:
    """A folder with runs/h/seed-0 and runs/h/seed-1, both complete."""
    folder = tmp_path_factory.mktemp("finished")
    answer = run(folder, "train.py", "-m", "seed=0,1", "sweep=h", *SETTINGS, f"data.store_root={store_root}")
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished / "runs", tmp_path / "runs")
    (tmp_path / "treasure").write_text("not to be touched")
    return tmp_path


def run(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program that may not take much more memory than it needs."""

    def limit() -> None:
        most = GIGABYTE if script == "reproduce.py" else 16 * GIGABYTE  # torch asks for addresses by the gigabyte
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    command = [sys.executable, str(SOURCE / script), *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env=one_thread(),
        timeout=HANG,
        check=False,
        preexec_fn=limit,
    )


def refusal(answer: subprocess.CompletedProcess[str]) -> str:
    """The one line that a program said before it ended with 2."""
    assert answer.returncode == 2, answer.stderr
    [line] = answer.stderr.splitlines()
    return line


def changed_result(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        result = json.loads(path.read_text())
        change(result)
        path.write_text(json.dumps(result))

    return apply


def as_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_gigabyte(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(GIGABYTE)


RESULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "1 GB": (as_gigabyte, "has 1073741824 bytes"),
    "a link": (as_link, "is a symbolic link"),
    "a pipe": (as_pipe, "is not a file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
    "nested": (lambda path: path.write_text("[" * 10**6), "is damaged"),
    "nested objects": (lambda path: path.write_text('{"a":' * 10**5), "is damaged"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe{}"), "is damaged"),
    "no object": (lambda path: path.write_text("[1, 2]"), "it is no result"),
    "NaN": (changed_result(lambda r: r["metrics"].update(val_top1_error=float("nan"))), "no finite number"),
    "1e999": (lambda path: path.write_text(path.read_text().replace('"seed": 0', '"seed": 1e999')), "no finite number"),
    "a huge number": (lambda path: path.write_text('{"seed": ' + "9" * 10**5 + "}"), "is damaged"),
    "a word for a number": (changed_result(lambda r: r["metrics"].update(val_top1_error="0.3")), "is '0.3'"),
    "a word for hours": (changed_result(lambda r: r.update(wall_seconds="soon")), "wall_seconds is 'soon'"),
    "an error of 300 %": (changed_result(lambda r: r["metrics"].update(val_top1_error=3.0)), "not from 0 to 1"),
    "no metrics": (changed_result(lambda r: r.pop("metrics")), "it has no metrics"),
    "no configuration": (changed_result(lambda r: r.update(config=[])), "it has no config"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_in_the_status(name: str, folder: Path) -> None:
    change, said = RESULTS[name]
    change(folder / "runs" / "h" / "seed-0" / "result.json")
    answer = run(folder, "reproduce.py", "status", "sweep=h")
    line = refusal(answer)
    assert line.startswith("error: runs/h/seed-0/result.json: ")
    assert said in line
    assert "1 complete, 1 damaged" in answer.stdout
    compared = read_sweep(folder / "runs" / "h")
    assert [said in line for line in compared.left_out] == [True]
    assert [complete.seed for complete in compared.runs] == [1]


@pytest.mark.parametrize("name", ["1 GB", "a link", "a pipe", "NaN"])
def test_a_result_in_a_sweep_and_a_table(name: str, folder: Path, store_root: Path) -> None:
    change, said = RESULTS[name]
    change(folder / "runs" / "h" / "seed-0" / "result.json")
    sweep = run(folder, "train.py", "-m", "seed=0,1", "sweep=h", *SETTINGS, f"data.store_root={store_root}")
    assert said in refusal(sweep)

    (folder / "runs" / "h" / "seed-0").rename(folder / "runs" / "h" / job_name("base", ["seed=0"]))
    with pytest.raises(UserError, match=said):
        collect(folder / "runs" / "h", load_experiment("ablations"), [0])


def unfolding(path: Path) -> None:
    """A thousand bytes of YAML that stand for 9^10 words."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise("abcdefghijk")]
    path.write_text("\n".join(lines))


CONFIGURATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "1 GB": (as_gigabyte, "has 1073741824 bytes"),
    "a link": (as_link, "is a symbolic link"),
    "a pipe": (as_pipe, "is not a file"),
    "code": (lambda path: path.write_text("seed: !!python/object/apply:os.system [touch pwned]"), "is damaged"),
    "aliases": (unfolding, "it has aliases"),
    "nested": (lambda path: path.write_text("[" * 10**5), "is damaged"),
    "nested mappings": (lambda path: path.write_text("{a: " * 500 + "1" + "}" * 500), "is nested too deeply"),
    "a list": (lambda path: path.write_text("[1, 2]"), "it is no configuration"),
    "a word for a number": (lambda path: path.write_text("seed: many"), "was made with"),
    "the environment": (lambda path: path.write_text("seed: ${oc.env:HOME}"), "was made with"),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    run_folder = Path("runs/h/seed-0")
    (run_folder / "result.json").unlink()
    change, said = CONFIGURATIONS[name]
    (run_folder / "config.yaml").chmod(0o644)
    change(run_folder / "config.yaml")
    with pytest.raises(UserError, match=said) as refused:
        check_same_run(run_folder, RunConfig())
    assert str(refused.value).startswith(str(run_folder))
    assert "\n" not in str(refused.value)
    assert str(Path.home()) not in str(refused.value)
    with pytest.raises(UserError):
        load_run(run_folder)
    assert not Path("pwned").exists()


EVALUATED: dict[str, tuple[Callable[[str], str], str]] = {
    "NaN": (lambda text: text.replace("dropout: 0.5", "dropout: .nan"), "model.dropout=nan: must be from 0.0 to 0.95"),
    "infinity": (lambda text: text.replace("width: ", "width: .inf #"), "model.width=inf: must be from"),
    "a word for a number": (lambda text: text.replace("seed: 0", "seed: many", 1), "Value 'many' of type 'str'"),
    "a list for a number": (lambda text: text.replace("seed: 0", "seed: [0]", 1), "is not one of this version"),
    "a huge number": (lambda text: text.replace("width: ", "width: 1e300 #"), "model.width=1e+300: must be from"),
    "a key that is none": (lambda text: "sede: 3\n" + text, "is not one of this version"),
    "the environment": (lambda text: text.replace("seed: 0", "seed: ${oc.env:HOME}", 1), "outside the file"),
    "nothing": (lambda text: "", "says nothing about the network"),
}


@pytest.mark.parametrize("name", EVALUATED)
def test_a_configuration_that_is_evaluated(name: str, folder: Path) -> None:
    change, said = EVALUATED[name]
    file = folder / "runs" / "h" / "seed-0" / "config.yaml"
    before = file.read_text()
    file.chmod(0o644)
    file.write_text(change(before))
    assert file.read_text() != before
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        load_members([file.parent], "last", {})
    assert str(refused.value).startswith(str(file.parent))
    assert "\n" not in str(refused.value)
    assert str(Path.home()) not in str(refused.value).removeprefix(str(file))


def test_what_is_evaluated_must_be_a_run_folder(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "bare").mkdir()
    large = folder / "runs" / "h" / "seed-0"
    as_gigabyte(large / "config.yaml")
    before = sorted(folder.rglob("*"))
    for name, said in (
        ("loop", "run=loop: no such folder"),
        ("treasure", "run=treasure: no such folder"),
        ("/dev/zero", "run=/dev/zero: no such folder"),
        ("bare", "run=bare: is not a run folder, it has no config.yaml"),
        ("[runs/h/seed-1,loop]", "run=loop: no such folder"),
        (str(large), "has 1073741824 bytes"),
    ):
        assert said in refusal(run(folder, "evaluate.py", f"run={name}")), name
    assert sorted(folder.rglob("*")) == before


def test_a_result_of_a_gigabyte_is_nothing_to_an_evaluation(folder: Path) -> None:
    as_gigabyte(folder / "runs" / "h" / "seed-1" / "result.json")
    answer = run(folder, "evaluate.py", "run=runs/h/seed-1", "out=out")
    assert answer.returncode == 0, answer.stderr


def test_checkpoints(folder: Path, store_root: Path) -> None:
    """A run that finds them says so, line by line, and begins anew; what they hold does not run."""
    run_folder = folder / "runs" / "h" / "seed-0"
    before = json.loads((run_folder / "result.json").read_text())["metrics"]
    (run_folder / "result.json").unlink()
    places = {name: run_folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous", "best")}

    torch.save({"state_dict": {"weights": Hostile()}}, places["last"])
    good = io.BytesIO()
    torch.save({"state_dict": {"weights": torch.zeros(50_000_000)}}, good)
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(places["previous"], "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in archive.infolist():
            bomb.writestr(entry.filename, archive.read(entry))
    places["best"].unlink(missing_ok=True)
    places["best"].symlink_to("/dev/zero")
    for name in ("last", "previous"):
        seal(places[name])
    for path, said in zip(places.values(), ("no checkpoint of this program", "would unpack", "symbolic"), strict=True):
        with pytest.raises(UserError, match=said):
            checkpoint_file.read(path)

    for path in places.values():
        exported = run(folder, "export.py", f"run={run_folder}", f"checkpoint={path.stem}", *EXPORT)
        assert str(folder) in refusal(exported) or "checkpoint" in refusal(exported)
    for checkpoint, said in (("last", "refused, it holds Python objects"), ("best", "is a symbolic link")):
        assert said in refusal(run(folder, "evaluate.py", f"run={run_folder}", f"checkpoint={checkpoint}"))
    assert not (run_folder / "evaluation").exists()
    places["best"].unlink()
    arguments = (*SETTINGS, "seed=0", "sweep=h", f"data.store_root={store_root}", f"hydra.run.dir={run_folder}")
    again = run(folder, "train.py", *arguments)
    assert again.returncode == 0, again.stderr
    assert "no checkpoint is whole" in (run_folder / "train.log").read_text()
    assert json.loads((run_folder / "result.json").read_text())["metrics"] == before
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize("name", [".lock", "output.log"])
def test_links_out_of_the_folder_are_not_written_through(name: str, folder: Path, store_root: Path) -> None:
    run_folder = folder / "runs" / "h" / "seed-0"
    (run_folder / "result.json").unlink()
    (run_folder / name).unlink(missing_ok=True)
    (run_folder / name).symlink_to(folder / "treasure")
    sweep = run(folder, "train.py", "-m", "seed=0,1", "sweep=h", *SETTINGS, f"data.store_root={store_root}")
    assert sweep.returncode == 2
    assert f"{name}: " in sweep.stderr.splitlines()[-1]
    assert "Traceback" not in sweep.stderr
    assert (folder / "treasure").read_text() == "not to be touched"


def test_links_within_a_run_folder_are_not_written_through(folder: Path, store_root: Path) -> None:
    """Of every file and folder that a run or its evaluation writes."""
    (folder / "elsewhere").mkdir()
    run_folder = folder / "runs" / "h" / "seed-0"
    (run_folder / "evaluation").symlink_to(folder / "elsewhere")
    said = "runs/h/seed-0/evaluation: is a symbolic link, through which nothing is written; remove it"
    assert said in refusal(run(folder, "evaluate.py", "run=runs/h/seed-0"))
    (run_folder / "evaluation").unlink()

    (run_folder / "result.json").unlink()
    arguments = (*SETTINGS, f"data.store_root={store_root}", "hydra.run.dir=runs/h/seed-0")
    for name in ("train.log", "metrics.csv", "checkpoints/last.ckpt", "csv_logger", "wandb"):
        (run_folder / name).unlink(missing_ok=True)
        (run_folder / name).symlink_to(folder / ("treasure" if "." in name else "elsewhere"))
        line = refusal(run(folder, "train.py", *arguments))
        assert f"runs/h/seed-0/{name}: is a symbolic link" in line
        (run_folder / name).unlink()
    shutil.rmtree(run_folder)
    run_folder.symlink_to(folder / "elsewhere")
    sweep = run(folder, "train.py", "-m", "seed=0,1", "sweep=h", *SETTINGS, f"data.store_root={store_root}")
    assert "runs/h/seed-0: is a symbolic link" in refusal(sweep)
    assert not list((folder / "elsewhere").iterdir())
    assert (folder / "treasure").read_text() == "not to be touched"


def seal(path: Path) -> None:
    """Give a file a checksum that fits, as a checkpoint has it."""
    content = bytearray(path.read_bytes())
    content[-2:] = checkpoint_file.COMMENT_SIZE.to_bytes(2, "little")
    path.write_bytes(bytes(content) + checkpoint_file.seal(memoryview(content)))
