"""Means with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bootstrap_interval(
    values: Sequence[float], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of independent values (Efron 1979).

    Returns its lower and upper end. If all values are equal, both ends are that value: the data say nothing
    about rarer outcomes then.
    """
    return stratified_interval([values], level, resamples, seed)


def stratified_interval(
    groups: Sequence[Sequence[float]], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Like `bootstrap_interval`, of the mean of several groups' means.

    Values are drawn again within each group, such as the episodes of each environment: the groups themselves
    are no sample.
    """
    if not groups:
        raise ValueError("an interval needs at least one group of numbers, got none")
    rng = np.random.default_rng(seed)
    means = np.zeros(resamples)
    for values in groups:
        data = np.asarray(values, dtype=np.float64)
        if data.ndim != 1 or data.size == 0:
            raise ValueError(f"an interval needs a list of numbers, got an array of shape {data.shape}")
        means += data[rng.integers(0, data.size, size=(resamples, data.size))].mean(axis=1)
    tail = 50 * (1 - level)
    lower, upper = np.percentile(means / len(groups), [tail, 100 - tail])
    return float(lower), float(upper)
