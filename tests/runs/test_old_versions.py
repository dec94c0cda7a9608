"""A run folder of an earlier version is what it was: an option that it lacks means its default."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from alexnet_lab.config.architectures import LeNet5Config
from alexnet_lab.config.image_sources import DigitsConfig
from alexnet_lab.config.options import RunConfig, schema_of
from alexnet_lab.core.errors import UserError
from alexnet_lab.runs import checkpoint_file, config_snapshot
from alexnet_lab.runs import result as result_file
from alexnet_lab.runs.config_snapshot import read_configuration
from alexnet_lab.runs.result import read_result
from alexnet_lab.sweeps.job_process import Job
from alexnet_lab.sweeps.planning import check_same_run
from alexnet_lab.sweeps.scheduler import Scheduler

OF_VERSION_1 = Path(__file__).parent / "run_of_version_1"  # as the program wrote it before runs had a version


@pytest.fixture
def on_digits(tmp_path: Path) -> Path:
    """The old run, as if its images were not fractals, which changed: config.yaml and result.json."""
    shutil.copytree(OF_VERSION_1, tmp_path / "run")
    for name, old, new in (
        ("config.yaml", "source: fractals", "source: digits"),
        ("result.json", '"source": "fractals"', '"source": "digits"'),
    ):
        file = tmp_path / "run" / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
    return tmp_path / "run"


def same_settings(folder: Path) -> RunConfig:
    """What today's command line with the same settings composes."""
    old: Any = read_configuration(folder)
    run: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema_of(old)), old))
    return run


def test_a_finished_run_is_complete_for_the_same_settings(on_digits: Path) -> None:
    assert "warmup" not in (on_digits / "config.yaml").read_text()  # an option that came later
    run = same_settings(on_digits)
    run.data.store_root = str(on_digits / "nowhere")
    result = read_result(on_digits)
    assert result is not None
    assert result["config"]["optim"]["warmup"] == 0.0
    check_same_run(on_digits, run)
    run.optim.warmup = 0.1
    with pytest.raises(UserError, match=r"was made with optim.warmup=0.0, not 0.1"):
        check_same_run(on_digits, run)


def test_a_sweep_reads_its_result_once(on_digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    read = result_file.read_json
    monkeypatch.setattr(result_file, "read_json", lambda path: reads.append(path) or read(path))
    run = same_settings(on_digits)
    run.data.store_root = str(on_digits / "nowhere")
    job = Job("run", on_digits, [], uses_gpus=False, result=check_same_run(on_digits, run))
    Scheduler([job], at_once=1, retries=0).run()
    assert reads == [on_digits / "result.json"]


def test_an_interrupted_run_too(on_digits: Path) -> None:
    (on_digits / "result.json").unlink()
    run = same_settings(on_digits)
    check_same_run(on_digits, run)
    run.optim.momentum = 0.5
    with pytest.raises(UserError, match=r"was made with optim.momentum=0.9, not 0.5"):
        check_same_run(on_digits, run)
    checkpoint = checkpoint_file.read(on_digits / "checkpoints" / "last.ckpt")
    assert checkpoint["version"] == 1
    assert config_snapshot.migrated(checkpoint["configuration"], 1, on_digits)["optim"]["warmup"] == 0.0


def test_fractals_that_are_rendered_no_more_are_other_images() -> None:
    run: Any = RunConfig()
    run.data.image_size, run.data.num_classes = 32, 6
    run.data.train_images_per_class, run.data.val_images_per_class = 20, 6
    with pytest.raises(UserError, match=r"was made with data.fractals=of an earlier version, which are rendered no "):
        check_same_run(OF_VERSION_1, run)


def test_options_of_other_networks_and_sources_are_left_out(tmp_path: Path) -> None:
    """Every configuration had them all before each network and source declared its own; these meant nothing."""
    model = "architecture: lenet5, input_size: 32, activation: tanh, width: 0.25, lrn_layers: [1, 2]"
    data = "source: digits, root: null, layout: auto, num_classes: null, rotation: 5.0"
    (tmp_path / "config.yaml").write_text(f"version: 2\nmodel: {{{model}, lrn: true}}\ndata: {{{data}}}\n")
    found: Any = read_configuration(tmp_path)
    assert found["model"] == dataclasses.asdict(LeNet5Config())
    assert found["data"] == dataclasses.asdict(DigitsConfig())
    (tmp_path / "config.yaml").write_text(f"version: 2\nmodel: {{{model}, lrn: false}}\n")
    found = read_configuration(tmp_path)
    assert found["model"]["lrn"] is False  # which LeNet-5 never had: kept, and refused


def test_renamed_options_are_migrated_by_version(tmp_path: Path, monkeypatch) -> None:
    """As if optim.momentum had been called optim.inertia in version 2, and the present version were 3."""

    def from_2(configuration: dict[str, Any]) -> None:
        configuration["optim"]["momentum"] = configuration["optim"].pop("inertia")

    monkeypatch.setattr(config_snapshot, "VERSION", 3)
    monkeypatch.setitem(config_snapshot.MIGRATIONS, 2, from_2)
    (tmp_path / "config.yaml").write_text("version: 2\noptim:\n  inertia: 0.5\n")
    found: Any = read_configuration(tmp_path)
    assert found["optim"]["momentum"] == 0.5
    assert "inertia" not in found["optim"]
    assert found["optim"]["divisor"] == 10.0


@pytest.mark.parametrize(("version", "said"), [("9", "is of version 9, this program reads 2"), ("x", "its version is")])
def test_a_version_that_is_none_or_later_is_refused(version: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"version: {version}\nseed: 0\n")
    with pytest.raises(UserError, match=said):
        read_configuration(tmp_path)


def test_the_batch_that_a_rate_is_meant_for_tells_runs_apart_where_the_rate_follows_it() -> None:
    """Earlier runs say nothing of it, presets do."""
    for rule, same in (("none", True), ("linear", False)):
        before, now = ({"optim": {"learning_rate_rule": rule, "reference_batch_size": images}} for images in (128, 32))
        assert (config_snapshot.first_difference(before, now) is None) == same
        assert ("optim.reference_batch_size" in config_snapshot.settings_of_result(now)) != same
