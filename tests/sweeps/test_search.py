"""A search over options: what it proposes, that it goes on where it was interrupted, and what it makes of failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alexnet_lab.core.errors import Preempted, UserError
from alexnet_lab.core.hydra_compat import parsed
from alexnet_lab.sweeps.search import Search, run_search

pytest.importorskip("optuna")

SPACE = ("optim.learning_rate=tag(log,interval(0.001,1.0))", "optim.batch_size=choice(16,32,64)", "model.without=a,b")


def search(*space: str, **options: Any) -> Search:
    given = {"trials": 12, "metric": "val_loss", "direction": "minimize", "sampler": "tpe", "seed": 0, "at_once": 1}
    over = {override.key_or_group: override for override in parsed(space or SPACE)}
    made = Search(over, ["model=mini"], **given | options)
    made.check()
    return made


class Runs:
    """Stands in for training: the loss is least at a rate of 0.1. ends: the trial during which it is asked to end."""

    def __init__(self, ends: int | None = None) -> None:
        self.ends, self.rates = ends, dict[str, float]()

    def __call__(self, trials: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        for name, overrides in trials.items():
            if name == f"trial-{self.ends:03d}" if self.ends is not None else False:
                raise Preempted("interrupted")
            self.rates[name] = float(overrides[0].partition("=")[2])
        return {name: {"metrics": {"val_loss": abs(self.rates[name] - 0.1)}} for name in trials}


def proposed(folder: Path) -> list[Any]:
    return json.loads((folder / "search.json").read_text())["trials"]


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_interrupted_search_proposes_what_another_does(at_once: int, tmp_path: Path) -> None:
    whole = Runs()
    best = run_search(search(at_once=at_once), tmp_path / "whole", whole)
    assert len(whole.rates) == 12
    assert all(0.001 <= rate <= 1 for rate in whole.rates.values())
    name = min(whole.rates, key=lambda trial: abs(whole.rates[trial] - 0.1))
    assert best.startswith(f"best of 12 trials: {name}, val_loss ")

    for ends in (0, 5, 11):
        folder = tmp_path / str(ends)
        with pytest.raises(Preempted):
            run_search(search(at_once=at_once), folder, Runs(ends))
        rest = Runs()
        assert run_search(search(at_once=at_once), folder, rest) == best
        assert proposed(folder) == proposed(tmp_path / "whole")
        assert len(rest.rates) <= 12 - ends // at_once * at_once
    again = Runs()
    assert run_search(search(at_once=at_once), tmp_path / "whole", again) == best
    assert again.rates == {}


def test_more_trials_later_go_on_from_the_first(tmp_path: Path) -> None:
    run_search(search(trials=4), tmp_path / "a", Runs())
    more = Runs()
    run_search(search(trials=6), tmp_path / "a", more)
    assert list(more.rates) == ["trial-004", "trial-005"]
    run_search(search(trials=6), tmp_path / "b", Runs())
    assert proposed(tmp_path / "a") == proposed(tmp_path / "b")


def test_trials_that_fail_are_left_out_and_all_of_them_end_it(tmp_path: Path) -> None:
    def some(trials: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        return {name: {"metrics": {"val_loss": 1.0}} for name in trials if int(name[-1]) % 2}

    assert run_search(search(trials=5), tmp_path / "some", some).startswith(
        "best of 5 trials, 3 of them failed: trial-001"
    )
    with pytest.raises(UserError, match="the first 3 trials failed"):
        run_search(search(), tmp_path / "all", lambda trials: {})


def test_another_search_and_a_damaged_file_are_refused(tmp_path: Path) -> None:
    run_search(search(trials=1), tmp_path, Runs())
    with pytest.raises(UserError, match="is of another search; choose another sweep=NAME"):
        run_search(search(SPACE[0]), tmp_path, Runs())
    (tmp_path / "search.json").write_text('{"search": 1}')
    with pytest.raises(UserError, match="is damaged"):
        run_search(search(), tmp_path, Runs())


@pytest.mark.parametrize(
    ("space", "options", "said"),
    [
        ((SPACE[0],), {"metric": "accuracy"}, "must be one of best_val_top1_error"),
        ((SPACE[0],), {"direction": "down"}, "must be one of minimize, maximize"),
        ((SPACE[0],), {"trials": 0}, "n_trials=0: must be from 1"),
        ((SPACE[0],), {"sampler": "grid"}, "must be one of tpe"),
        (("seed=choice(1,2)",), {}, "says nothing of an option"),
        (("optim.learning_rate=tag(log,interval(0,1))",), {}, "optim.learning_rate=tag"),
        (("optim.learning_rate=0.1",), {}, "must be interval"),
    ],
)
def test_what_cannot_be_searched_is_refused(space: Any, options: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        search(*space, **options)


@pytest.mark.slow
def test_a_search_of_real_runs_ends_in_seconds_the_second_time(program, small, tmp_path: Path) -> None:
    line = (
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=3", "sweep=s", *small,
        "optim.learning_rate=tag(log,interval(0.001,0.1))", "model.dropout=choice(0,0.5)",
    )  # fmt: skip
    first = program("train.py", *line)
    assert first.returncode == 0, first.stderr
    results = sorted(path.parent.name for path in tmp_path.glob("runs/s/*/result.json"))
    assert results == ["trial-000", "trial-001", "trial-002"]
    assert "best of 3 trials: trial-00" in first.stdout
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/s/*/result.json")}
    again = program("train.py", *line)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/s/*/result.json")} == times


@pytest.mark.slow
def test_a_search_that_is_a_file(program, small, tmp_path: Path) -> None:
    found = program("train.py", "hparams_search=mini_optuna", "hydra.sweeper.n_trials=1", "sweep=s", *small)
    assert found.returncode == 0, found.stderr
    assert [path.parent.name for path in tmp_path.glob("runs/s/*/result.json")] == ["trial-000"]
