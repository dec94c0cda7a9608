"""compose(): a run's configuration in a notebook, where nothing was registered."""

from __future__ import annotations

import pytest
from hydra import compose as hydras
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from alexnet_lab import UserError, compose
from alexnet_lab.core.paths import CONF


def test_the_same_words_as_on_the_command_line_give_the_same() -> None:
    run = compose("model=mini", "model.lrn=false", "seed=3")
    assert (run.model.name, run.model.lrn, run.seed) == ("mini", False, 3)
    assert run.data.image_size == 44
    assert not GlobalHydra.instance().is_initialized()


def test_it_leaves_what_a_notebook_has_initialized_as_it_was() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose()
        assert GlobalHydra.instance().is_initialized()
        assert hydras("train", ["seed=4"]).seed == 4


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model=min", "model=min: no such option; did you mean mini"),
        ("model.lr=3", "model.lr: no such key"),
        ("+nothing=3", "nothing: no such key"),
        ("seed=x", "seed=x: "),
        ("model.dropout=7", "model.dropout=7"),
        ("seed", "seed"),
    ],
)
def test_a_mistake_is_one_line(word: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        compose(word)
    assert str(refused.value).lstrip("'").startswith(said)
    assert "\n" not in str(refused.value)
