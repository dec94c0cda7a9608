"""Names of run folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from alexnet_lab.experiments.run_folders import run_dir


@pytest.mark.parametrize(
    "name",
    ["runs/single/2026-11-21_13-52-58.465", "a b", "it's", "a=b", "grün/ä", "x,y", "[1]", 'a "word"', "{x}", "~/x"],
)
def test_hydra_understands_the_command_that_continues_a_run(name: str) -> None:
    override = OverridesParser.create().parse_override(run_dir(Path(name)))
    assert (override.key_or_group, override.value()) == ("hydra.run.dir", name)
