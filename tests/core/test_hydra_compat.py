"""Each undocumented part of Hydra that is touched is there, and does what it is touched for."""

from __future__ import annotations

import math

import pytest
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException

from alexnet_lab.core import hydra_compat


def test_overrides_are_read() -> None:
    seed, path = hydra_compat.parsed(["seed=1,2", "+data.root='a b'"])
    assert (seed.key_or_group, seed.is_sweep_override(), seed.input_line) == ("seed", True, "seed=1,2")
    assert (path.key_or_group, path.is_sweep_override(), path.value()) == ("data.root", False, "a b")
    with pytest.raises(HydraException):
        hydra_compat.parsed(["a=[1"])


def test_a_sweep_is_multiplied_out() -> None:
    swept = hydra_compat.parsed(["seed=range(0,2)", "model.lrn=true,false", "data=digits"])
    assert hydra_compat.combinations(swept) == [
        ["seed=0", "model.lrn=True", "data=digits"],
        ["seed=0", "model.lrn=False", "data=digits"],
        ["seed=1", "model.lrn=True", "data=digits"],
        ["seed=1", "model.lrn=False", "data=digits"],
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 1), ("1,2,3", 3), ("choice(a,b)", 2), ("range(0,10,3)", 4), ("range(5)", 5), ("range(0,inf)", math.inf)],
)
def test_the_values_of_a_sweep_are_counted_without_listing_them(text: str, number: float) -> None:
    [override] = hydra_compat.parsed([f"seed={text}"])
    assert hydra_compat.number_of_values(override) == number


def test_what_was_stored_is_found() -> None:
    ConfigStore.instance().store(group="some/group", name="mine", node={"_target_": "a.b"})
    assert hydra_compat.stored("some/group", "mine")["_target_"] == "a.b"


def test_the_values_of_a_sweep_are_texts_for_other_overrides() -> None:
    for text, values in {"1,2": ["1", "2"], "choice(a,'b c')": ["a", "b\\ c"], "range(2,6,2)": ["2", "4"]}.items():
        [override] = hydra_compat.parsed([f"seed={text}"])
        assert hydra_compat.sweep_values(override) == values
