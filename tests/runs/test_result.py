"""A result is believed where it can be true, and refused in one line that names the file where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.core.errors import UserError
from alexnet_lab.reports.collect import collect
from alexnet_lab.runs.result import read_result

OF_VERSION_1 = Path(__file__).parent / "run_of_version_1" / "result.json"
Change = Callable[[dict[str, Any]], object]

IMPOSSIBLE: dict[str, tuple[Change, str]] = {
    "no version": (lambda r: r.pop("schema_version"), "its version is None"),
    "a version that is none": (lambda r: r.update(schema_version="1"), "its version is '1'"),
    "top-5 above top-1": (lambda r: r["metrics"].update(val_top5_error=0.9), "top-5 error is above its top-1 error"),
    "best above last": (lambda r: r["metrics"].update(best_val_top1_error=0.9), "best error is above its last"),
    "a loss below 0": (lambda r: r["metrics"].update(val_loss=-1.0), "metrics.val_loss is -1.0, below 0"),
    "best after the end": (lambda r: r["metrics"].update(best_epoch=9), "its best epoch is 9, of 2"),
    "the folder's seed": (
        lambda r: (r.update(seed=3), r["config"].update(seed=3)),
        "its seed is 3, and that of its ",
    ),
    "its own seed": (lambda r: r["config"].update(seed=3), "its seed is 0, and that of its configuration 3"),
    "epochs": (lambda r: r.update(epochs=4), "it has 4 epochs, and its configuration 2"),
    "parameters": (lambda r: r.update(parameters=3052), "it has 3052 parameters, and its configuration 3051"),
    "a network of no size": (lambda r: r["config"]["model"].update(kernels=[]), "its network cannot be built"),
    "endless seconds": (lambda r: r.update(wall_seconds=10**400), "wall_seconds is a number of 333 hexadecimal digits"),
    "rows": (lambda r: r["hardware"].update(processor="x\n| no LRN | 3 | 1.0 |"), "hardware.processor holds control"),
    "colours": (lambda r: r.update(commit="\x1b[31mred"), "commit holds control characters"),
    "right to left": (lambda r: r["versions"].update(torch="\u202e1.2"), "versions.torch holds control characters"),
    "a key": (lambda r: r["metrics"].update({"a\nb": 1.0}), "metrics holds control characters"),
    "other images": (lambda r: r.update(images={"identity": "7"}), "images.identity is no checksum"),
    "a part of the data": (
        lambda r: r["config"]["trainer"].update(limit_train_batches=2),
        "and it says nothing of that",
    ),
    "partial": (lambda r: r.update(partial="no"), "partial is no list of settings"),
    "parts": (lambda r: r.update(parts=[{"from_step": 0}]), "parts is not what computed each part"),
}


def written(folder: Path, change: Change) -> Path:
    result = json.loads(OF_VERSION_1.read_text())
    result["config"]["model"]["pool_rounding"] = "ceiling"  # without every option, parameters are not counted
    change(result)
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_refused(name: str, tmp_path: Path) -> None:
    change, said = IMPOSSIBLE[name]
    folder = written(tmp_path / "no-lrn_seed-0", change)
    with pytest.raises(UserError) as refused:
        read_result(folder)
    line = str(refused.value)
    assert line.startswith(f"{folder / 'result.json'}: is damaged (")
    assert said in line
    assert line.isprintable()


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", lambda result: None)
    text = (folder / "result.json").read_text()
    (folder / "result.json").write_text(text.replace('"seed": 0', '"seed": 0, "seed": 1', 1))
    with pytest.raises(UserError, match="it has 'seed' twice"):
        read_result(folder)


def test_a_later_versions_result_asks_for_a_later_program(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", lambda result: result.update(schema_version=3))
    with pytest.raises(UserError, match=r"result.json: is of version 3, this program reads 2 and earlier; use a newer"):
        read_result(folder)


def test_brackets_in_a_name_are_no_harm(tmp_path: Path) -> None:
    folder = written(tmp_path / "run", lambda result: result["hardware"].update(processor="AMD [/x] CPU"))
    result = read_result(folder)
    assert result is not None
    assert result["hardware"]["processor"] == "AMD [/x] CPU"


def test_a_run_that_saw_a_part_of_the_data_enters_no_table(tmp_path: Path) -> None:
    experiment = load_experiment("ablations")
    whole = written(tmp_path / "base_seed-0", lambda r: None)
    assert read_result(whole) is not None
    assert collect(tmp_path, experiment, [0])["base"].keys() == {0}
    written(tmp_path / "no-lrn_seed-0", lambda r: r.update(partial=["trainer.max_steps=3"], epochs=1))
    with pytest.raises(UserError, match=r"no-lrn_seed-0: saw a part of the data alone \(trainer.max_steps=3\)"):
        collect(tmp_path, experiment, [0])
