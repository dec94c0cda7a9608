"""Names of run folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from alexnet_lab.cli.evaluation_request import default_folder
from alexnet_lab.core.paths import RUNS
from alexnet_lab.runs.paths import run_dir
from alexnet_lab.sweeps.status import print_sweeps


@pytest.mark.parametrize(
    "name",
    ["runs/single/2026-11-21_13-52-58.465", "a b", "it's", "a=b", "grün/ä", "x,y", "[1]", 'a "word"', "{x}", "~/x"],
)
def test_hydra_understands_the_command_that_continues_a_run(name: str) -> None:
    override = OverridesParser.create().parse_override(run_dir(Path(name)))
    assert (override.key_or_group, override.value()) == ("hydra.run.dir", name)


def test_evaluations_of_several_runs_are_no_sweep(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    default_folder([Path("a"), Path("b")], "centre", "last").mkdir(parents=True)
    (RUNS / "lrn" / "seed-0").mkdir(parents=True)
    print_sweeps()
    assert capsys.readouterr().out == "runs/lrn: 1 jobs: 1 not started\n"
