"""Bootstrap intervals against the normal approximation, and their edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_rl.training.statistics import bootstrap_interval, stratified_interval


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
