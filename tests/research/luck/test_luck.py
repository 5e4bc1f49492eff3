"""Each luck test returns the correct result on data with known properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botkit.research.luck import sharpe
from botkit.research.luck.bootstrap import Floats, block_days, interval, resampled_days
from botkit.research.luck.holm import holm
from botkit.research.luck.reality_check import reality_check
from botkit.research.luck.shifted import shift_test


def noise(days: int, seed: int, annual: float = 0.0, looks: int | None = None) -> Floats:
    random = np.random.default_rng(seed)
    shape = days if looks is None else (days, looks)
    return np.asarray(0.02 * (random.standard_normal(shape) + annual / math.sqrt(365)))


@given(st.integers(1, 50), st.floats(1, 20), st.integers(0, 2**32))
def test_resampled_day_indices_are_within_the_range_of_days(count: int, mean: float, seed: int) -> None:
    drawn = resampled_days(count, mean, 3, seed)
    assert drawn.shape == (3, count)
    assert drawn.min() >= 0
    assert drawn.max() < count


def test_resampled_blocks_have_the_requested_mean_length() -> None:
    drawn = resampled_days(5_000, 8.0, 20, 1)
    breaks = (np.diff(drawn, axis=1) % 5_000 != 1).sum()
    assert drawn.size / breaks == pytest.approx(8.0, rel=0.05)


def test_every_day_is_drawn_equally_often() -> None:
    drawn = resampled_days(50, 5.0, 4_000, 3)
    counts = np.bincount(drawn.ravel(), minlength=50)
    assert counts.min() > 0.9 * counts.mean()
    assert counts.max() < 1.1 * counts.mean()


def test_a_confidence_interval_covers_the_true_value_as_often_as_stated() -> None:
    covered = 0
    for seed in range(200):
        found = interval(noise(200, seed), lambda rows: rows.mean(axis=-1), mean_block=1, samples=400, seed=seed)
        assert found is not None
        covered += found[0] <= 0 <= found[1]
    assert 180 <= covered <= 198


def test_autocorrelated_returns_have_a_wider_interval_with_longer_blocks() -> None:
    days = np.repeat(noise(100, 1), 5)  # each return occurs five times in a row

    def mean(rows: Floats) -> Floats:
        return np.asarray(rows.mean(axis=-1))

    single = interval(days, mean, mean_block=1)
    blocks = interval(days, mean, mean_block=10)
    assert single is not None
    assert blocks is not None
    assert blocks[1] - blocks[0] > 1.5 * (single[1] - single[0])


def test_with_fewer_than_twenty_blocks_there_is_no_confidence_interval() -> None:
    assert interval(noise(100, 1), sharpe.of_days, mean_block=5.1) is None
    assert interval(noise(100, 1), sharpe.of_days, mean_block=5) is not None
    assert reality_check(noise(100, 1, looks=3), mean_block=5.1) is None


def test_the_block_length_equals_the_longest_period_of_dependence() -> None:
    assert block_days(0, 0) == 1
    assert block_days(3 * 86_400, 86_400) == 3
    assert block_days(0, 36 * 3_600) == 1.5


def test_the_standard_error_for_normal_returns_matches_los_formula() -> None:
    returns = noise(100_000, 5, annual=2)
    ratio = float(sharpe.of_days(returns))
    assert sharpe.standard_error(returns) == pytest.approx(math.sqrt((1 + ratio**2 / 2) / 100_000), rel=0.02)


def test_the_best_of_many_unskilled_looks_has_the_expected_sharpe_ratio() -> None:
    days, looks = 500, 200
    best = [float(sharpe.of_days(noise(days, seed, looks=looks).T).max()) for seed in range(40)]
    assert float(np.mean(best)) == pytest.approx(sharpe.expected_best(looks, 1 / days), rel=0.05)


def test_looks_that_differ_in_skill_do_not_increase_the_variance_attributed_to_luck() -> None:
    days = 365
    ratios = sharpe.of_days(noise(days, 3, looks=100).T)
    worse = ratios - np.linspace(0, 1, 100)  # with fees that reduce the annualized Sharpe ratio by up to 19
    assert sharpe.variance_by_luck(worse, days) == 1 / (days - 1)
    assert sharpe.variance_by_luck(ratios, days) == pytest.approx(1 / days, rel=0.3)
    assert sharpe.variance_by_luck(ratios / 3, days) < 0.2 / days


def test_the_deflated_sharpe_ratio_rejects_the_best_of_a_thousand_random_looks() -> None:
    holds_alone = holds_deflated = 0
    for seed in range(30):
        returns = noise(365, seed, looks=1_000)
        best = returns[:, int(sharpe.of_days(returns.T).argmax())]
        holds_alone += sharpe.probabilistic(best) > 0.95
        holds_deflated += sharpe.deflated(best, 1_000, 1 / 365) > 0.95
    assert holds_alone == 30
    assert holds_deflated <= 3


def test_a_skilled_strategy_keeps_a_high_sharpe_ratio_after_deflation() -> None:
    assert sharpe.deflated(noise(3 * 365, 1, annual=4), 100, 1 / (3 * 365)) > 0.95


def test_the_reality_check_has_the_stated_error_rate_for_random_looks() -> None:
    p_values = [reality_check(noise(200, seed, looks=20), mean_block=1, samples=200) for seed in range(100)]
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 12


def test_the_reality_check_finds_the_only_variant_with_skill() -> None:
    returns = noise(3 * 365, 2, looks=50)
    returns[:, 17] += 0.02 * 4 / math.sqrt(365)
    p = reality_check(returns, mean_block=1)
    assert p is not None
    assert p <= 0.05


def test_copies_of_one_look_are_treated_as_a_single_look() -> None:
    one = noise(400, 9, annual=2.2)
    alone = reality_check(one[:, None], mean_block=1)
    copied = reality_check(np.repeat(one[:, None], 500, axis=1), mean_block=1)
    assert alone == copied


def test_the_shift_test_detects_a_position_path_with_market_knowledge_but_not_a_random_one() -> None:
    random = np.random.default_rng(4)
    changes = random.standard_normal(2_000)
    knowing = (changes > 0).astype(float)
    assert shift_test(knowing, changes) == 1 / 201
    blind = [shift_test((random.random(2_000) > 0.5).astype(float), changes, seed=seed) for seed in range(100)]
    assert sum(p is not None and p <= 0.05 for p in blind) <= 12


def test_always_being_invested_is_not_treated_as_skill() -> None:
    changes = np.random.default_rng(4).standard_normal(1_000) + 0.5
    assert shift_test(np.ones(1_000), changes) is None
    refused = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        changes = random.standard_normal(1_000) + 0.5
        p = shift_test((random.random(1_000) > 0.02).astype(float), changes, seed=seed)
        assert p is not None
        refused += p > 0.05
    assert refused >= 52


def test_a_position_path_shorter_than_its_shifts_is_not_tested() -> None:
    assert shift_test(np.arange(200.0), np.ones(200)) is None


def test_holm_adjusts_p_values_step_by_step() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1, max_size=6))
def test_holm_p_values_lie_between_unadjusted_and_bonferroni_p_values(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    for name, p in p_values.items():
        assert p <= adjusted[name] <= 1
        assert adjusted[name] <= min(1.0, max(p_values.values()) * len(p_values))


def test_detecting_a_sharpe_ratio_of_two_requires_about_a_year_and_a_half_of_daily_returns() -> None:
    needed = sharpe.days_needed(2)
    assert needed == pytest.approx(566, abs=5)
    seen = sum(sharpe.probabilistic(noise(needed, seed, annual=2)) > 0.95 for seed in range(200))
    assert 140 <= seen <= 180
