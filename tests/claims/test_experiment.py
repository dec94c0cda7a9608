"""Definitions of experiments that cannot be used end in one line that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet_lab.claims import experiment
from alexnet_lab.claims.experiment import load_experiment
from alexnet_lab.core.errors import UserError

DEFINITION = """
title: t
claim: c
section: s
base: base
seeds: 3
cost: none
command: none
margin: {top1: 1.0, top5: 0.5}
variants: {base: {label: b}}
"""


@pytest.mark.parametrize(
    ("line", "other", "said"),
    [
        ("margin: {top1: 1.0, top5: 0.5}\n", "", "has neither a margin, for a table of errors, nor rows"),
        ("top5: 0.5", "top5: 0", "margin.top5=0.0: must be a number of points above 0"),
        ("top5: 0.5", "top5: .nan", "margin.top5=nan"),
        ("base: {label: b}", "other: {label: b}", "base base is not among the variants"),
        (
            "{base: {label: b}}",
            str({name: {"label": "b"} for name in ("base", *map(str, range(51)))}),
            "51 are the most",
        ),
    ],
)
def test_a_wrong_definition(line: str, other: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "EXPERIMENTS", tmp_path)
    (tmp_path / "mine.yaml").write_text(DEFINITION)
    assert load_experiment("mine").margin.top5 == 0.5
    (tmp_path / "mine.yaml").write_text(DEFINITION.replace(line, other))
    with pytest.raises(UserError, match=said) as caught:
        load_experiment("mine")
    assert len(str(caught.value).splitlines()) == 1
