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


@dataclass(frozen=True, eq=False)
class Runs:
    """Scores of one method in one environment: training run by training run, on the same episodes.

    scores:    (S, E), a row a training seed, a column an episode, that is, a seed of the environment
    one_start: the environment has a single start, so that episodes are no sample of starts: only training
               runs are drawn again, each with the mean of its episodes
    """

    scores: Array
    one_start: bool = False

    @property
    def uncertain(self) -> bool:
        """Whether there is anything to draw again."""
        runs, episodes = self.scores.shape
        return runs > 1 or (episodes > 1 and not self.one_start)


def mean_estimate(runs: Runs, minus: Runs | None = None, resamples: int = 10_000, seed: int = 0) -> Estimate:
    """The mean over training runs and episodes, or its difference to that of another method.

    Training runs and episodes are drawn again independently of each other, because every run meets the same
    episodes (the pigeonhole bootstrap of Owen 2007); drawing episodes anew within each run would take one
    episode's difficulty for as many as there are runs. Of two methods the episodes are drawn together, which
    pairs them, the training runs apart: run 3 of one has nothing to do with run 3 of the other.
    """
    if minus is not None and minus.scores.shape[1] != runs.scores.shape[1]:
        raise ValueError(f"episodes differ in number: {runs.scores.shape[1]} and {minus.scores.shape[1]}")
    rng = np.random.default_rng(seed)
    columns = _episode_weights(runs, rng, resamples)
    mean, means = float(runs.scores.mean()), _run_means(runs, columns, rng).mean(axis=1)
    uncertain = runs.uncertain
    if minus is not None:
        mean -= float(minus.scores.mean())
        means = means - _run_means(minus, columns, rng).mean(axis=1)
        uncertain = uncertain or minus.uncertain
    return Estimate(mean, *(_percentiles(means, 0.95) if uncertain else (math.nan, math.nan)))


def aggregate_estimate(
    tasks: Sequence[Sequence[Runs]],
    statistic: Callable[[Array], Array],
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """A statistic of the mean scores of all training runs in all environments (Agarwal et al. 2021).

    tasks:     for each task, the same training runs in its environments; they are drawn again task by task,
               and in every environment of the task alike, the episodes environment by environment
    statistic: (…, N) → (…), such as `interquartile_mean`
    """
    rng = np.random.default_rng(seed)
    points, drawn = [], []
    for environments in tasks:
        rows = None
        for runs in environments:
            count = len(runs.scores)
            if rows is None:
                rows = rng.integers(0, count, (resamples, count))
            means = _episode_weights(runs, rng, resamples) @ runs.scores.T
            points.append(runs.scores.mean(axis=1))
            drawn.append(np.take_along_axis(means, rows, axis=1))
    mean = float(statistic(np.concatenate(points)))
    if not any(runs.uncertain for environments in tasks for runs in environments):
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


def _episode_weights(runs: Runs, rng: np.random.Generator, resamples: int) -> Array:
    """How often each episode is drawn, as a share: (resamples, E); all alike where there is one start."""
    episodes = runs.scores.shape[1]
    equal = np.full(episodes, 1 / episodes)
    if runs.one_start:
        return np.broadcast_to(equal, (resamples, episodes))
    drawn: Array = rng.multinomial(episodes, equal, size=resamples) / episodes
    return drawn


def _run_means(runs: Runs, columns: Array, rng: np.random.Generator) -> Array:
    """Mean scores (resamples, S) of training runs drawn again, over the episodes that were drawn."""
    means = columns @ runs.scores.T
    return np.take_along_axis(means, rng.integers(0, len(runs.scores), means.shape), axis=1)


def _percentiles(resampled: Array, level: float) -> tuple[float, float]:
    tail = 50 * (1 - level)
    lower, upper = np.percentile(resampled, [tail, 100 - tail])
    return float(lower), float(upper)
