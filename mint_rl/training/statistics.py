"""Means with their uncertainty: every interval of the project is a percentile bootstrap, and made here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean, or another statistic, and its 95 % bootstrap interval.

    All three are NaN without values; the interval is NaN where a single value tells nothing of others.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]]) -> Estimate:
        """The mean of the groups' means; a value that is NaN is left out, and so is a group of NaN alone."""
        known = [[value for value in group if not math.isnan(value)] for group in groups]
        known = [group for group in known if group]
        if not known:
            return cls(math.nan, math.nan, math.nan)
        mean = sum(sum(group) / len(group) for group in known) / len(known)
        if all(len(group) == 1 for group in known):
            return cls(mean, math.nan, math.nan)
        return cls(mean, *stratified_interval(known))

    def to_json(self) -> dict[str, Any]:
        """As plain values; what is undefined is None, since JSON has no NaN."""
        mean = None if math.isnan(self.mean) else self.mean
        return {"mean": mean, "interval": None if math.isnan(self.low) else [self.low, self.high]}

    def text(self, decimals: int) -> str:
        """The mean ± half the width of the interval: `.997±.002`."""
        if math.isnan(self.mean):
            return "–"
        spread = "" if math.isnan(self.low) else f"±{short((self.high - self.low) / 2, decimals)}"
        return short(self.mean, decimals) + spread


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
    return _percentiles(means / len(groups), level)


def mean_estimate(
    scores: Array, minus: Array | None = None, resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """The mean of scores (S, E), training run by episode, or its difference to that of another method.

    Training runs and episodes are drawn again independently of each other, because every run meets the same
    episodes (the pigeonhole bootstrap of Owen 2007); drawing episodes anew within each run would take one
    episode's difficulty for as many as there are runs. Of two methods the episodes are drawn together, which
    pairs them, the training runs apart: run 3 of one has nothing to do with run 3 of the other.

    Where episodes are no sample of anything, give their means: scores (S, 1).
    """
    if minus is not None and minus.shape[1] != scores.shape[1]:
        raise ValueError(f"episodes differ in number: {scores.shape[1]} and {minus.shape[1]}")
    rng = np.random.default_rng(seed)
    columns = _episode_weights(scores, rng, resamples)
    mean, means = float(scores.mean()), _run_means(scores, columns, rng).mean(axis=1)
    certain = scores.size == 1
    if minus is not None:
        mean -= float(minus.mean())
        means = means - _run_means(minus, columns, rng).mean(axis=1)
        certain = certain and minus.size == 1
    return Estimate(mean, *((math.nan, math.nan) if certain else _percentiles(means, 0.95)))


def aggregate_estimate(
    tasks: Sequence[Sequence[Array]],
    statistic: Callable[[Array], Array],
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """A statistic of the mean scores of all training runs in all environments (Agarwal et al. 2021).

    tasks:     for each task, the scores (S, E) of the same S training runs in each of its environments; runs
               are drawn again task by task, in all environments of the task alike, and episodes environment
               by environment
    statistic: (…, N) → (…), such as `interquartile_mean`
    """
    rng = np.random.default_rng(seed)
    points, drawn = [], []
    for environments in tasks:
        count = len(environments[0])
        rows = rng.integers(0, count, (resamples, count))
        for scores in environments:
            means = _episode_weights(scores, rng, resamples) @ scores.T
            points.append(scores.mean(axis=1))
            drawn.append(np.take_along_axis(means, rows, axis=1))
    mean = float(statistic(np.concatenate(points)))
    if all(scores.size == 1 for environments in tasks for scores in environments):
        return Estimate(mean, math.nan, math.nan)
    return Estimate(mean, *_percentiles(statistic(np.concatenate(drawn, axis=1)), 0.95))


def interquartile_mean(values: Array) -> Array:
    """The mean of the middle half of the last axis: (…, N) → (…).

    Where N is no multiple of 4, the values at the edges count in part, so that exactly half the weight is
    left.
    """
    count = values.shape[-1]
    edges = np.clip(np.arange(count + 1) / count, 0.25, 0.75)
    result: Array = np.sort(values, axis=-1) @ (2 * np.diff(edges))
    return result


def short(value: float, decimals: int) -> str:
    """Without the zero before the point: .998, -.02, 1.000."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def _episode_weights(scores: Array, rng: np.random.Generator, resamples: int) -> Array:
    """How often each episode is drawn, as a share: (resamples, E)."""
    episodes = scores.shape[1]
    drawn: Array = rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=resamples) / episodes
    return drawn


def _run_means(scores: Array, columns: Array, rng: np.random.Generator) -> Array:
    """Mean scores (resamples, S) of training runs drawn again, over the episodes that were drawn."""
    means = columns @ scores.T
    return np.take_along_axis(means, rng.integers(0, len(scores), means.shape), axis=1)


def _percentiles(resampled: Array, level: float) -> tuple[float, float]:
    tail = 50 * (1 - level)
    lower, upper = np.percentile(resampled, [tail, 100 - tail])
    return float(lower), float(upper)
