"""Bootstrap intervals against the normal approximation, and their edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_rl.training.statistics import (
    aggregate_estimate,
    bootstrap_interval,
    interquartile_mean,
    mean_estimate,
    stratified_interval,
)


def test_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    low, high = bootstrap_interval(values.tolist())
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.001)
    assert high == pytest.approx(values.mean() + half, abs=0.001)


def test_level() -> None:
    values = [0.0, 1.0] * 20
    wide, narrow = bootstrap_interval(values, level=0.99), bootstrap_interval(values, level=0.5)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_lies_within_the_data_and_repeats(values: list[float]) -> None:
    low, high = bootstrap_interval(values, resamples=100)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9
    assert bootstrap_interval(values, resamples=100) == (low, high)


def test_no_values() -> None:
    with pytest.raises(ValueError, match="a list of numbers"):
        bootstrap_interval([])


def test_groups_are_drawn_from_one_by_one() -> None:
    low, high = stratified_interval([[0.0, 1.0] * 50, [5.0] * 10])
    one_low, one_high = bootstrap_interval([0.0, 1.0] * 50)
    # the second group is certain: it halves the first one's interval and shifts it by 2.5
    assert (low, high) == (pytest.approx(one_low / 2 + 2.5), pytest.approx(one_high / 2 + 2.5))
    with pytest.raises(ValueError, match="at least one group"):
        stratified_interval([])


def test_a_mean_over_runs_and_episodes_against_the_variance_of_the_crossed_design() -> None:
    # Scores = run effect + episode effect; the variance of the grand mean is s²/S + e²/E of the two samples.
    rng = np.random.default_rng(1)
    run, episode = rng.normal(0, 0.1, 40), rng.normal(0.5, 0.2, 80)
    estimate = mean_estimate(run[:, None] + episode)
    half = 1.96 * np.sqrt(run.var() / 40 + episode.var() / 80)
    assert estimate.mean == pytest.approx(run.mean() + episode.mean())
    assert estimate.low == pytest.approx(estimate.mean - half, abs=0.002)
    assert estimate.high == pytest.approx(estimate.mean + half, abs=0.002)


def test_pairing_on_episodes_removes_what_makes_them_hard() -> None:
    rng = np.random.default_rng(2)
    episode = rng.uniform(0, 1, 50)
    better, worse = np.stack([episode + 0.1] * 3), np.stack([episode] * 5)
    difference = mean_estimate(better, worse)
    assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert mean_estimate(better).high - mean_estimate(better).low > 0.1
    with pytest.raises(ValueError, match="episodes differ in number: 50 and 2"):
        mean_estimate(better, np.zeros((3, 2)))


def test_means_of_episodes_leave_training_runs_alone_to_be_drawn() -> None:
    scores = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
    assert mean_estimate(scores.mean(axis=1, keepdims=True)).high == 0.5, "both runs have the mean 0.5"
    assert mean_estimate(scores).high > 0.7
    lonely = mean_estimate(scores[:1].mean(axis=1, keepdims=True))
    assert lonely.mean == 0.5
    assert np.isnan([lonely.low, lonely.high]).all()


def test_interquartile_mean() -> None:
    values = np.random.default_rng(0).permutation(8).astype(float)
    assert interquartile_mean(values) == pytest.approx((2 + 3 + 4 + 5) / 4)
    # of five values the outer ones and a quarter of their neighbours fall away: (0.75·1 + 2 + 0.75·3) / 2.5
    assert interquartile_mean(np.array([[0.0, 1.0, 2.0, 3.0, 99.0]])) == pytest.approx([2.0])
    assert interquartile_mean(np.array([0.3])) == pytest.approx(0.3)


def test_an_aggregate_draws_runs_task_by_task() -> None:
    rng = np.random.default_rng(3)
    easy = [rng.normal(0.9, 0.02, (5, 30)), rng.normal(0.8, 0.02, (5, 30))]
    hard = [rng.normal(0.2, 0.02, (5, 30))]
    everything = aggregate_estimate([easy, hard], interquartile_mean)
    means = np.concatenate([scores.mean(1) for scores in (*easy, *hard)])
    assert everything.mean == pytest.approx(interquartile_mean(means))
    assert everything.low < everything.mean < everything.high
    # what only differs between tasks leaves no doubt about their mean
    sure = [[np.full((4, 6), 0.1)], [np.full((4, 6), 0.7)]]
    flat = aggregate_estimate(sure, lambda values: values.mean(axis=-1))
    assert (flat.mean, flat.low, flat.high) == pytest.approx((0.4, 0.4, 0.4))


def test_an_aggregate_of_one_task_is_its_mean() -> None:
    runs = np.random.default_rng(4).uniform(0, 1, (5, 40))
    one = aggregate_estimate([[runs]], lambda values: values.mean(axis=-1), resamples=10_000)
    other = mean_estimate(runs)
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high), abs=0.004)
