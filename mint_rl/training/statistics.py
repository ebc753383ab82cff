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
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0:
        raise ValueError(f"an interval needs a list of numbers, got an array of shape {data.shape}")
    draws = np.random.default_rng(seed).integers(0, data.size, size=(resamples, data.size))
    tail = 50 * (1 - level)
    lower, upper = np.percentile(data[draws].mean(axis=1), [tail, 100 - tail])
    return float(lower), float(upper)
