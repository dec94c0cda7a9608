"""Means over seeds and images, and what is said of a claim, against scipy, statsmodels and simulated runs."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from alexnet_lab.claims.statistics import (
    LEVEL,
    Expectation,
    Judgement,
    Mean,
    bootstrap,
    judge,
    mean_over_images,
    mean_over_seeds,
    mean_over_seeds_and_images,
    seeds_for,
)

ABOVE = Expectation("above", 0.0)
TOLERATED = 2 * math.sqrt(LEVEL * (1 - LEVEL) / 1000)  # of a rate of 5 % in 1,000 simulations


@pytest.fixture(autouse=True)
def without_collections_of_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at each correction, which takes more than all of the rest."""
    monkeypatch.setattr(gc, "collect", lambda *generation: 0)


def drawn(
    draw: np.random.Generator, seeds: int, images: int, effect: float, of_seeds: float, of_images: float, rest: float
) -> np.ndarray:
    """Differences (S, I) with a part that is the seed's, one that is the image's, and a rest."""
    return (
        effect
        + of_seeds * draw.normal(size=(seeds, 1))
        + of_images * draw.normal(size=(1, images))
        + rest * draw.normal(size=(seeds, images))
    )


def test_a_mean_over_seeds_is_students_and_a_ratios_geometric() -> None:
    ratios = [5.0, 6.5, 7.2, 5.9]
    found = mean_over_seeds([math.log(ratio) for ratio in ratios])
    interval = stats.ttest_1samp(np.log(ratios), 0).confidence_interval(0.95)
    assert math.exp(found.mean) == pytest.approx(stats.gmean(ratios))
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_over_seeds_and_images_the_error_is_that_of_clustering_by_both() -> None:
    """statsmodels' two-way clustered errors ask neither for balance nor for a model; small-sample factors left out."""
    seeds, images = 12, 40
    values = drawn(np.random.default_rng(0), seeds, images, 1.0, 1.0, 2.0, 3.0)
    found = mean_over_seeds_and_images(values)
    rows, columns = np.divmod(np.arange(seeds * images), images)
    clustered = sm.OLS(values.ravel(), np.ones(seeds * images)).fit(
        cov_type="cluster",
        cov_kwds={"groups": np.stack([rows, columns], 1), "use_correction": False, "df_correction": False},
    )
    assert found.mean == pytest.approx(clustered.params[0])
    assert found.standard_error == pytest.approx(clustered.bse[0], rel=0.06)


def test_images_that_all_vary_alike_leave_students_t_over_seeds() -> None:
    seeds = np.array([1.0, 3.0, 2.0, 2.5])
    found = mean_over_seeds_and_images(np.repeat(seeds[:, None], 7, axis=1))
    alone = mean_over_seeds(seeds.tolist())
    assert (found.low, found.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    assert found.p(0.0) == pytest.approx(alone.p(0.0))


@pytest.mark.parametrize(("seeds", "of_seeds", "of_images"), [(3, 1.0, 3.0), (5, 0.5, 10.0), (10, 2.0, 1.0)])
def test_intervals_over_seeds_and_images_cover_what_they_promise(seeds: int, of_seeds: float, of_images: float) -> None:
    draw, covered = np.random.default_rng(seeds), 0
    for _ in range(1000):
        found = mean_over_seeds_and_images(drawn(draw, seeds, 200, 1.7, of_seeds, of_images, 5.0))
        covered += found.low <= 1.7 <= found.high
    assert 930 <= covered <= 985


def test_a_p_value_is_that_of_the_interval_whose_end_it_is() -> None:
    found = mean_over_seeds_and_images(drawn(np.random.default_rng(7), 4, 50, 1.0, 1.0, 3.0, 2.0))
    assert found.p(found.low) == pytest.approx(0.05)
    assert found.p(found.high) == pytest.approx(0.05)
    assert found.p_below(found.high) == pytest.approx(0.025)
    assert found.p_above(found.high) == pytest.approx(0.975)
    assert found.p(found.mean) == 1


def test_a_bootstrap_over_images_covers_what_it_promises() -> None:
    """Values as an ensemble's gain has them: multiples of a fifth of 100, mostly 0."""
    draw, covered = np.random.default_rng(1), 0
    values = np.array([-40.0, -20.0, 0.0, 20.0])
    chances = np.array([0.03, 0.05, 0.9, 0.02])
    for _ in range(200):
        low, high = bootstrap(draw.choice(values, 200, p=chances))
        covered += low <= float(values @ chances) <= high
    assert 180 <= covered <= 199
    one = draw.choice(values, 400, p=chances)
    assert bootstrap(one) == bootstrap(one)
    found = mean_over_images(one, 5)
    assert found.standard_error == pytest.approx(DescrStatsW(one).std_mean)


def test_p_values_are_holms_over_the_rows_that_decide() -> None:
    draw = np.random.default_rng(2)
    values = {name: draw.normal(effect, 1.0, 6) for name, effect in (("a", 3.0), ("b", 1.0), ("c", 0.0))}
    judged = judge({name: (mean_over_seeds(list(own)), ABOVE) for name, own in values.items()}, 3)
    raw = [stats.ttest_1samp(own, 0).pvalue for own in values.values()]
    assert [one.p for one in judged.values()] == pytest.approx(raw)
    corrected = multipletests(raw, method="holm")[1]
    assert [one.p_corrected for one in judged.values()] == pytest.approx(corrected)


@pytest.mark.parametrize(
    ("values", "expected", "judgement"),
    [
        ([1.0, 1.2, 0.9], ABOVE, Judgement.AGREES),
        ([-1.0, -1.2, -0.9], ABOVE, Judgement.CONTRADICTS),
        ([1.0, -1.2, 0.9], ABOVE, Judgement.CANNOT_TELL),
        ([0.02, -0.01, 0.01], Expectation("above", 0.0, contradicted=0.5), Judgement.CONTRADICTS),
        ([0.3, 0.31, 0.32], Expectation("above", 0.0, contradicted=0.5), Judgement.AGREES),
        ([-1.0, -1.2, -0.9], Expectation("below", 0.0, contradicted=0.5), Judgement.AGREES),
        ([0.02, -0.01, 0.01], Expectation("below", 0.0, contradicted=0.5), Judgement.CONTRADICTS),
        ([0.2, -0.1, 0.1], Expectation("within", 1.0), Judgement.AGREES),
        ([3.0, 3.1, 3.2], Expectation("within", 1.0), Judgement.CONTRADICTS),
        ([0.5, 1.2, 0.9], Expectation("within", 1.0), Judgement.CANNOT_TELL),
        ([1.0], ABOVE, Judgement.CANNOT_TELL),
        ([1.0, 1.0], ABOVE, Judgement.CANNOT_TELL),
    ],
)
def test_the_judgements(values: list[float], expected: Expectation, judgement: Judgement) -> None:
    assert judge({"row": (mean_over_seeds(values), expected)}, 1)["row"].judgement is judgement


def test_a_row_without_its_runs_is_not_judged_and_changes_no_other() -> None:
    shown = mean_over_seeds([1.0, 1.2, 0.9])
    alone = judge({"a": (shown, ABOVE), "b": (None, ABOVE)}, 2)
    assert alone["b"].judgement is Judgement.INCOMPLETE
    assert alone["a"].p_corrected == pytest.approx(2 * alone["a"].p)


@pytest.mark.parametrize("expected", [ABOVE, Expectation("below", 0.0)])
def test_of_claims_without_an_effect_one_in_twenty_is_judged(expected: Expectation) -> None:
    draw, wrong = np.random.default_rng(3), 0
    for _ in range(1000):
        rows = {name: (mean_over_seeds_and_images(drawn(draw, 5, 100, 0.0, 1.0, 2.0, 5.0)), expected) for name in "abc"}
        wrong += any(one.judgement is not Judgement.CANNOT_TELL for one in judge(rows, 3).values())
    assert wrong <= 1000 * (LEVEL + TOLERATED)


def test_of_effects_as_large_as_the_margin_one_in_twenty_is_called_smaller() -> None:
    draw, wrong = np.random.default_rng(4), 0
    for _ in range(1000):
        within = judge({"a": (mean_over_seeds(list(draw.normal(1.0, 0.5, 6))), Expectation("within", 1.0))}, 1)
        wrong += within["a"].judgement is Judgement.AGREES
    assert wrong <= 1000 * (LEVEL + TOLERATED)


@pytest.mark.parametrize("comparisons", [1, 4])
def test_the_seeds_said_have_the_power_promised(comparisons: int) -> None:
    draw, effect, sd = np.random.default_rng(5), 1.5, 1.0
    pilot = Mean(effect, 3, "", seed_sd=sd)
    seeds = seeds_for(pilot, effect, comparisons)
    shown = 0
    for _ in range(1000):
        mean = mean_over_seeds(list(draw.normal(effect, sd, seeds)))
        shown += judge({"a": (mean, ABOVE)}, comparisons)["a"].judgement is Judgement.AGREES
    power = stats.nct.sf(
        stats.t.isf(LEVEL / comparisons / 2, seeds - 1), seeds - 1, effect / sd * math.sqrt(seeds)
    )  # of this many seeds: the fewest with 80 %
    assert power >= 0.8 - 1e-6
    assert abs(shown / 1000 - power) <= 0.05


def test_where_images_alone_leave_too_much_open_no_number_of_seeds_is_said() -> None:
    assert seeds_for(Mean(0.1, 5, "", seed_sd=0.5, image_error=0.4), 1.0, 1) is None
    assert seeds_for(Mean(0.1, 5, "", seed_sd=0.5, image_error=0.1), 1.0, 1) is not None
