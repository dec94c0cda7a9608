"""Intervals, corrected p-values, margins and power, against scipy and statsmodels asked in another way."""

from __future__ import annotations

import gc
import math
import random

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from alexnet_lab.claims.statistics import (
    LEVEL,
    Comparison,
    Verdict,
    about,
    compare,
    compare_pairs,
    estimate,
    paired_difference,
    seeds_needed,
    smallest_difference,
)

Errors = dict[str, dict[int, float]]
NAMES = ("a", "b", "c", "d")


def by_seed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def table(errors: Errors, effects: dict[str, float] | None = None, seeds: int = 3, comparisons: int = 4) -> Comparison:
    return compare(errors, "base", margin=1.0, effects=effects or {}, seeds=seeds, comparisons=comparisons)


def drawn(draw: random.Random, n: int, sd: float = 1.0, effect: float = 0.0) -> dict[int, float]:
    return by_seed([30.0 + draw.gauss(effect, sd) for _ in range(n)])


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """For thousands of tables: statsmodels collects garbage each time, which takes more than all of the rest."""
    monkeypatch.setattr(gc, "collect", lambda *generation: 0)


def test_an_estimate_is_students() -> None:
    values = [31.0, 29.5, 33.2, 30.1]
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimate(values)
    assert found.mean == pytest.approx(sum(values) / 4)
    assert found.mean + found.half_width == pytest.approx(interval.high)
    with pytest.raises(ValueError, match="finite"):
        estimate([math.nan])


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.1 + 0.2, 0.3, 0.3]])
def test_one_value_and_equal_values_have_no_interval(values: list[float]) -> None:
    found = estimate(values)
    assert (found.sd, found.half_width, found.n) == (None, None, len(values))


def test_differences_are_paired_by_seed() -> None:
    found = paired_difference({0: 1.0, 1: 5.0, 9: 100.0}, {0: 0.5, 1: 4.0, 2: 7.0})
    assert (found.mean, found.n) == (0.75, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_p_values_are_those_of_scipy_and_statsmodels() -> None:
    draw = random.Random(1)
    effects = dict(zip(NAMES, (0.0, 0.4, 2.0, -3.0), strict=True))
    errors = {"base": drawn(draw, 8)} | {name: drawn(draw, 8, 0.7, effect) for name, effect in effects.items()}
    found = table(errors, seeds=8).differences

    base = list(errors["base"].values())
    raw = [stats.ttest_rel(list(errors[name].values()), base).pvalue for name in NAMES]
    margin = [ttost_paired(np.array(list(errors[name].values())), np.array(base), -1.0, 1.0)[0] for name in NAMES]
    assert [found[name].p for name in NAMES] == pytest.approx(raw)
    assert [found[name].p_corrected for name in NAMES] == pytest.approx(multipletests(raw, method="holm")[1])
    assert [found[name].p_equivalence for name in NAMES] == pytest.approx(multipletests(margin, method="holm")[1])


def test_pairs_of_two_sweeps_share_seeds_or_are_two_samples() -> None:
    draw = random.Random(5)
    first = {name: drawn(draw, 6, effect=effect) for name, effect in (("paired", 3.0), ("apart", 3.0), ("one", 0.0))}
    second = {
        "paired": drawn(draw, 5),  # the sixth seed has no partner
        "apart": {seed + 100: value for seed, value in drawn(draw, 4, sd=3.0).items()},
        "one": {0: 1.0},
    }
    found = compare_pairs({name: (first[name], second[name]) for name in first})
    assert [found[name].paired for name in found] == [True, False, True]

    paired, welch = found["paired"], found["apart"]
    expected = stats.ttest_rel([first["paired"][seed] for seed in range(5)], list(second["paired"].values()))
    assert (paired.estimate.n, paired.p) == (5, pytest.approx(expected.pvalue))
    one, other = (list(values["apart"].values()) for values in (first, second))
    expected = stats.ttest_ind(one, other, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert welch.p == pytest.approx(expected.pvalue)
    assert welch.estimate.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert welch.estimate.mean == pytest.approx(np.mean(one) - np.mean(other))

    assert (found["one"].estimate.n, found["one"].p, found["one"].verdict) == (1, None, Verdict.NOT_RESOLVED)
    corrected = multipletests([paired.p, welch.p, 1.0], method="holm")[1]
    assert [paired.p_corrected, welch.p_corrected] == pytest.approx(list(corrected[:2]))


def test_the_verdicts() -> None:
    errors = {
        "base": by_seed([20.0, 24.0, 22.0]),
        "worse": by_seed([30.0, 35.0, 32.0]),
        "better": by_seed([10.0, 15.0, 12.0]),
        "slightly worse": by_seed([20.31, 24.3, 22.305]),
        "alike": by_seed([20.02, 23.99, 22.0]),
        "noisy": by_seed([21.0, 22.0, 23.0]),
        "noisy, not in the paper": by_seed([21.0, 22.0, 23.0]),
        "noisy, large in the paper": by_seed([21.0, 22.0, 23.0]),
    }
    effects = {"noisy": 1.7, "noisy, large in the paper": 40.0}
    found = table(errors, effects, comparisons=7).differences
    assert {name: difference.words for name, difference in found.items()} == {
        "worse": "worse",
        "better": "better",
        "slightly worse": "worse, by less than 1.0",
        "alike": "no difference larger than 1.0",
        "noisy": "not resolved: about 17 seeds would resolve the paper's +1.7",
        "noisy, not in the paper": "not resolved: 3 seeds resolve ±15.0 and more",
        "noisy, large in the paper": "not resolved: the paper's +40.0 would likely have shown",
    }


def test_equal_differences_and_single_seeds_resolve_nothing() -> None:
    errors = {"base": by_seed([20.0, 24.0]), "same": by_seed([20.0, 24.0]), "ten more": by_seed([30.0, 34.0])}
    found = table(errors, {"same": 1.0}, seeds=2, comparisons=2)
    for difference in found.differences.values():
        assert difference.words == "not resolved: 2 equal differences have no interval"
        assert (difference.p, difference.seeds_needed, difference.smallest) == (None, None, None)
    assert found.smallest is None

    single = table({"base": {0: 20.0}, "one": {0: 90.0}}, seeds=1, comparisons=1).differences["one"]
    assert single.words == "not resolved: one seed has no interval"
    apart = table({"base": {0: 20.0}, "one": {7: 90.0}}, seeds=1, comparisons=1).differences["one"]
    assert apart.words == "not resolved: no seed in common with the base"


def test_differences_that_rounding_alone_sets_apart_are_equal() -> None:
    """A run's errors are counts in single precision, as its metrics give them."""

    def error(wrong: int) -> float:
        return 100 * float(1 - np.float32(50_000 - wrong) / np.float32(50_000))

    draw = random.Random(0)
    for _ in range(50):
        wrong = [draw.randrange(5_000, 25_000) for _ in range(2)]
        errors = {"base": by_seed([error(count) for count in wrong])}
        errors["more"] = by_seed([error(count + 500) for count in wrong])
        found = table(errors, seeds=2, comparisons=1).differences["more"]
        assert found.words == "not resolved: 2 equal differences have no interval"
    errors["more"][0] = error(wrong[0] + 501)  # one image more makes a spread
    assert table(errors, seeds=2, comparisons=1).differences["more"].p is not None


def test_rows_that_come_in_later_change_no_verdict() -> None:
    draw = random.Random(3)
    errors = {"base": drawn(draw, 5, 0.3)} | {name: drawn(draw, 5, 0.3, 4.0) for name in NAMES}
    before = {}
    for count in range(1, 5):
        part = {name: errors[name] for name in ("base", *NAMES[:count])}
        found = {name: difference.verdict for name, difference in table(part, seeds=5).differences.items()}
        assert found.items() >= before.items()
        before = found
    assert before == dict.fromkeys(NAMES, Verdict.WORSE)

    unfinished = errors | {"a": {0: 99.0, 1: 98.0}}
    found = table(unfinished, seeds=5).differences
    assert found["a"].verdict == Verdict.SO_FAR
    assert found["a"].p is None
    assert found["b"].verdict == Verdict.WORSE


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_what_they_promise(n: int) -> None:
    draw = random.Random(n)
    covered = 0
    for _ in range(1000):
        found = estimate([draw.gauss(30.0, 2.0) for _ in range(n)])
        covered += abs(found.mean - 30.0) <= found.half_width
    assert 930 <= covered <= 970


def test_of_tables_without_any_effect_one_in_twenty_says_anything(many: None) -> None:
    draw = random.Random(0)
    wrong = 0
    for _ in range(1000):
        found = table({name: drawn(draw, 3) for name in ("base", *NAMES)})
        wrong += any(row.verdict in (Verdict.WORSE, Verdict.BETTER) for row in found.differences.values())
    assert wrong <= 1000 * (LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / 1000))


def test_of_differences_as_large_as_the_margin_one_table_in_twenty_calls_any_small(many: None) -> None:
    draw = random.Random(0)
    wrong = 0
    for _ in range(1000):
        errors = {"base": drawn(draw, 5, 0.3)} | {name: drawn(draw, 5, 0.3, 1.0) for name in NAMES}
        found = table(errors, seeds=5).differences.values()
        wrong += any(row.p_equivalence <= LEVEL for row in found)
    assert wrong <= 1000 * (LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / 1000))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("level", [0.05, 0.05 / 4, 0.05 / 50])
def test_the_smallest_difference_has_eighty_percent_of_power(n: int, level: float) -> None:
    smallest = smallest_difference(2.0, n, level)
    critical = stats.t.isf(level / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, smallest / 2.0 * math.sqrt(n)) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("effect", [0.3, 1.0, 3.0, 40.0, -3.0])
def test_the_seeds_needed_are_the_fewest(effect: float) -> None:
    n = seeds_needed(effect, 2.0, 0.0125)

    def power(n: int) -> float:
        return float(stats.nct.sf(stats.t.isf(0.0125 / 2, n - 1), n - 1, abs(effect) / 2.0 * math.sqrt(n)))

    assert power(n) >= 0.8 - 1e-6
    assert n == 2 or power(n - 1) < 0.8


def test_power_is_as_promised_in_simulation(many: None) -> None:
    draw = random.Random(5)
    sd, n = 2.0, 5
    effect = smallest_difference(sd, n, LEVEL / 4)
    resolved = 0
    for _ in range(1000):
        found = table({"base": by_seed([30.0] * n), "a": drawn(draw, n, sd, effect)}, seeds=n)
        resolved += found.differences["a"].verdict == Verdict.WORSE
    assert 750 <= resolved <= 850


def test_what_a_table_resolves_comes_of_all_its_rows() -> None:
    errors = {"base": by_seed([0.0, 0.0, 0.0]), "a": by_seed([1.0, 2.0, 3.0]), "b": by_seed([0.0, 7.0, 14.0])}
    found = table(errors, comparisons=2)
    assert found.smallest == pytest.approx(smallest_difference(5.0, 3, 0.025))  # sd 1 and 7: 25 is the mean of squares
    assert found.differences["a"].smallest == pytest.approx(smallest_difference(1.0, 3, 0.025))


def test_counts_are_said_with_two_digits() -> None:
    assert [about(count) for count in (3, 27, 123, 5234)] == ["3", "27", "130", "5,300"]
