"""What a benchmark found: the scores in its folder, and the estimates made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from statistics import mean
from typing import Any

import numpy as np

from mint_rl.envs.magical.names import TASKS, VARIANTS
from mint_rl.errors import UserError
from mint_rl.training.benchmark import read_benchmark
from mint_rl.training.benchmark_cell import read_scores
from mint_rl.training.benchmark_config import SETTINGS
from mint_rl.training.benchmark_grid import CELL_FILE, CELLS_FOLDER, Cell
from mint_rl.training.cell_result import Result
from mint_rl.training.statistics import (
    Array,
    Estimate,
    aggregate_estimate,
    interquartile_mean,
    mean_estimate,
)

ONE_START = "Demo"  # the variant whose episodes all begin alike


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of the same training runs on the same episodes of one variant."""

    training_seeds: tuple[int, ...]  # (S,)
    episode_seeds: tuple[int, ...]  # (E,)
    values: Array  # (S, E)

    def sample(self, variant: str) -> Array:
        """What intervals are made of: on Demo, whose only start makes episodes no sample, their means."""
        return self.values.mean(axis=1, keepdims=True) if variant == ONE_START else self.values

    def on(self, episodes: Sequence[int]) -> Scores:
        """The scores on some of the episodes."""
        columns = [self.episode_seeds.index(seed) for seed in episodes]
        return Scores(self.training_seeds, tuple(episodes), self.values[:, columns])


@dataclass
class Row:
    """One method on one task, trained on one kind of data with several seeds."""

    task: str
    data: str
    method: str
    encoder: str
    digest: str
    cells: dict[int, Path]  # folders of the training runs, by seed
    scores: dict[str, Scores] = field(default_factory=dict)  # by variant
    failures: dict[int, str] = field(default_factory=dict)  # by training seed
    seconds: list[dict[str, float]] = field(default_factory=list)  # CPU seconds of each run, part by part
    label: str = ""  # of method and encoder, where that is needed to tell rows apart
    _estimates: dict[str, Estimate] = field(default_factory=dict, repr=False)

    def estimate(self, variant: str) -> Estimate | None:
        """The mean score on a variant; None where it was not played."""
        found = self.scores.get(variant)
        if found is None:
            return None
        if variant not in self._estimates:
            self._estimates[variant] = mean_estimate(found.sample(variant))
        return self._estimates[variant]

    def minus(self, other: Row, variant: str) -> Estimate | None:
        """The mean difference to another method on the same episodes; None where they share none."""
        mine, theirs = self.scores.get(variant), other.scores.get(variant)
        if mine is None or theirs is None:
            return None
        if variant == ONE_START:
            return mean_estimate(mine.sample(variant), theirs.sample(variant))
        shared = sorted(set(mine.episode_seeds) & set(theirs.episode_seeds))
        return mean_estimate(mine.on(shared).values, theirs.on(shared).values) if shared else None

    def iqm(self, variant: str) -> float | None:
        """The interquartile mean of the training runs' mean scores on a variant."""
        found = self.scores.get(variant)
        return None if found is None else float(interquartile_mean(found.values.mean(axis=1)))


@dataclass(frozen=True)
class Aggregates:
    """Of each method, its mean and interquartile mean over tasks and variants, from one kind of data.

    Only environments count that every method was played in.
    """

    estimates: dict[str, tuple[Estimate, Estimate]]  # by label: mean, interquartile mean
    environments: int


@dataclass
class Findings:
    """Everything in a benchmark's folder."""

    rows: list[Row]
    aggregates: dict[str, Aggregates]  # by kind of data
    settings: dict[str, Any]
    commands: list[dict[str, str]]
    machines: list[dict[str, str]]  # each that a cell ran on
    dates: tuple[str, str]  # of the first and the last cell; "" if there is none
    pretraining: dict[str, float | None]  # CPU seconds, by encoder

    def kinds(self) -> list[str]:
        """The kinds of data, in order. Rows of different kinds are never compared."""
        return _kinds(self.rows)

    def groups(self, data: str) -> list[tuple[str, list[Row]]]:
        """The rows of one kind of data, task by task. The first row of each is the reference."""
        rows = [row for row in self.rows if row.data == data]
        tasks = dict.fromkeys(row.task for row in rows)
        return [(task, [row for row in rows if row.task == task]) for task in tasks]


def collect(folder: Path) -> Findings:
    """Read a benchmark's folder, finished or not. Raises `UserError` if it is none or holds no cell."""
    description = read_benchmark(folder)
    groups: dict[Path, list[Cell]] = {}  # by the folder that the seeds of a configuration share
    for file in sorted((folder / CELLS_FOLDER).glob(f"*/*/{CELL_FILE}")):
        groups.setdefault(file.parent.parent, []).append(Cell.read(file.parent))
    if not groups:
        raise UserError(f"the benchmark in '{folder}' has no training runs yet: nothing to report")
    results = {cell.folder: Result.read(cell.folder) for cells in groups.values() for cell in cells}
    rows = [_row(sorted(cells, key=lambda cell: cell.seed), results) for cells in groups.values()]
    rows.sort(key=lambda row: _order(row, description["settings"]))
    _label(rows)
    dates = sorted(result.finished for result in results.values() if result.finished)
    machines: list[dict[str, str]] = []
    for result in results.values():
        if result.machine and result.machine not in machines:
            machines.append(result.machine)
    return Findings(
        rows=rows,
        aggregates={data: _aggregates([row for row in rows if row.data == data]) for data in _kinds(rows)},
        settings=description["settings"],
        commands=description["commands"],
        machines=machines,
        dates=(dates[0], dates[-1]) if dates else ("", ""),
        pretraining=description["pretraining_cpu_seconds"],
    )


def _kinds(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.data for row in rows))


def _row(cells: Sequence[Cell], results: dict[Path, Result]) -> Row:
    """The row of a configuration's cells."""
    first = cells[0]
    trained = [cell for cell in cells if results[cell.folder].trained]
    failures = {cell.seed: results[cell.folder].failure for cell in cells}
    return Row(
        first.task,
        first.data,
        first.method,
        first.encoder,
        first.digest,
        cells={cell.seed: cell.folder for cell in cells},
        scores=_scores(trained),
        failures={seed: reason for seed, reason in failures.items() if reason is not None},
        seconds=[results[cell.folder].training_seconds for cell in trained],
    )


def _scores(cells: Sequence[Cell]) -> dict[str, Scores]:
    """By variant, the scores of the seeds that played it, on the episodes that all of them did."""
    found: dict[str, Scores] = {}
    for variant in VARIANTS[cells[0].task] if cells else ():
        every = {cell.seed: read_scores(cell.folder, variant) for cell in cells}
        played = {seed: scores for seed, scores in every.items() if scores}
        episodes = sorted(set.intersection(*map(set, played.values()))) if played else []
        if episodes:
            values = np.array([[scores[seed] for seed in episodes] for scores in played.values()])
            found[variant] = Scores(tuple(played), tuple(episodes), values)
    return found


def _aggregates(rows: Sequence[Row]) -> Aggregates:
    by_label: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.scores:
            by_label.setdefault(row.label, {})[row.task] = row
    played = [
        {(task, variant) for task, row in tasks.items() for variant in row.scores}
        for tasks in by_label.values()
    ]
    common = set.intersection(*played) if played else set()
    found = {}
    for label, tasks in by_label.items():
        samples = [_samples(row, {v for t, v in common if t == task}) for task, row in tasks.items()]
        samples = [sample for sample in samples if sample]
        if samples:
            mean = aggregate_estimate(samples, lambda values: np.asarray(values.mean(axis=-1)))
            found[label] = mean, aggregate_estimate(samples, interquartile_mean)
    return Aggregates(found, len(common))


def _samples(row: Row, variants: set[str]) -> list[Array]:
    """Scores (S, E) on each variant, of the training runs that played all of them."""
    chosen = [variant for variant in row.scores if variant in variants]
    if not chosen:
        return []
    shared = set.intersection(*(set(row.scores[variant].training_seeds) for variant in chosen))
    samples = []
    for variant in chosen:
        scores = row.scores[variant]
        rows = [index for index, seed in enumerate(scores.training_seeds) if seed in shared]
        samples.append(scores.sample(variant)[rows])
    return samples if shared else []


def _order(row: Row, settings: dict[str, Any]) -> tuple[Any, ...]:
    """By data, task and method, as the last command named them; what it did not name comes last."""
    from mint_rl.training.benchmark_grid import Method

    methods = [Method.parse(word).name for word in settings["policies"]]
    data = [*settings["data"], *(name for name in SETTINGS if name not in settings["data"])]
    return (
        *_place(row.data, data),
        *_place(row.task, list(TASKS)),
        *_place(row.method, methods),
        *_place(row.encoder, settings["encoders"]),
        row.digest,
    )


def _place(name: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(name), "") if name in known else (len(known), name)


def _label(rows: Sequence[Row]) -> None:
    """Call rows by their method; add the encoder where there are several, the digest where that is needed.

    Of an encoder's path the last part is enough to tell it by.
    """
    encoders = {row.encoder for row in rows if row.encoder}
    for row in rows:
        method = row.method.replace("policy.", "").replace(":", " ").replace(",", " ")
        row.label = f"{method}, {PurePath(row.encoder).name}" if row.encoder and len(encoders) > 1 else method
    keys = [(row.data, row.task, row.label) for row in rows]
    for row, key in zip(rows, keys, strict=True):
        if keys.count(key) > 1:
            row.label += f" ({row.digest})"


def mean_seconds(row: Row) -> tuple[float, float] | None:
    """CPU seconds of a training run of this row: of encoding its demonstrations, and of all the rest."""
    if not row.seconds:
        return None
    encoding = mean(parts.get("encoding", 0.0) for parts in row.seconds)
    return encoding, mean(sum(parts.values()) for parts in row.seconds) - encoding
