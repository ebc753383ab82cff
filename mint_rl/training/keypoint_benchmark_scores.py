"""What a benchmark of keypoints found: the scores in its folder, and the estimates made of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder_files import read_json_object
from mint_rl.keypoints.metrics import VideoMetrics
from mint_rl.training.cell_result import Result
from mint_rl.training.keypoint_benchmark import read_keypoint_benchmark
from mint_rl.training.keypoint_benchmark_cell import TestScores, read_dynamics, read_scores
from mint_rl.training.keypoint_benchmark_grid import (
    CELL_FILE,
    CELLS_FOLDER,
    CONTROL,
    ENCODER,
    GRID,
    RANDOM,
    RUN_FOLDER,
    TRAINED,
    KeypointCell,
)
from mint_rl.training.method_word import MethodWord
from mint_rl.training.pretrain import METRICS_FILE
from mint_rl.training.statistics import Array, Estimate, aggregate_estimate

if TYPE_CHECKING:
    from mint_rl.training.dynamics_scores import VideoScores

METRICS = tuple(field.name for field in dataclasses.fields(VideoMetrics))


@dataclass
class KeypointRow:
    """One method, encoder or control on one kind of data, with several training seeds."""

    kind: str
    data: str
    method: str
    digest: str
    cells: dict[int, KeypointCell]  # by seed
    tests: dict[str, dict[int, TestScores]]  # by test, then by seed
    dynamics: dict[int, dict[str, list[VideoScores]]]  # by seed, then by environment or data set
    failures: dict[int, str]  # by seed
    warnings: dict[int, list[str]]  # by seed, signs of failure that training gave
    training: list[dict[str, float]]  # of each run: CPU seconds "a step", and "all" with the data
    label: str = ""

    def estimate(self, metric: str, tests: Sequence[str]) -> Estimate | None:
        """The mean of a metric over tests, training seeds and videos; None where nothing is scored.

        Only seeds count that have been scored on all of these tests. A video counts where the metric is
        defined for every seed; a seed for which it never is, such as the identity of keypoints that are on no
        object, is left out.
        """
        found = [self.tests.get(test, {}) for test in tests]
        seeds = sorted(set.intersection(*map(set, found))) if found else []
        return pooled([[_of(metric, scores[seed].videos) for seed in seeds] for scores in found])

    @property
    def milliseconds(self) -> float | None:
        """CPU time of encoding a frame."""
        every = [scores for found in self.tests.values() for scores in found.values()]
        frames = sum(scores.frames for scores in every)
        return 1e3 * sum(scores.seconds for scores in every) / frames if frames else None

    def predicted(self, measure: str, predictor: str, ahead: int) -> Estimate | None:
        """The mean of a measure of `mint-rl dynamics`; None where there is none."""
        names = dict.fromkeys(name for found in self.dynamics.values() for name in found)
        return pooled(
            [
                [[video[measure][predictor].get(ahead, np.nan) for video in found[name]] for found in seeds]
                for name in names
                if (seeds := [found for found in self.dynamics.values() if name in found])
            ]
        )

    def cost(self, which: str) -> float | None:
        """The mean over training runs of CPU seconds "a step" or of "all"; None where nothing was trained."""
        return mean(run[which] for run in self.training) if self.training else None


@dataclass(frozen=True)
class KeypointFindings:
    """Everything in the folder of a benchmark of keypoints."""

    rows: list[KeypointRow]
    settings: dict[str, Any]
    tests: dict[str, dict[str, Any]]  # by data, what is scored on
    commands: list[dict[str, str]]
    machines: list[dict[str, str]]  # each that a cell ran on
    dates: tuple[str, str]  # of the first and the last cell; "" if there is none

    def kinds(self) -> list[str]:
        """The kinds of data, in order."""
        return list(dict.fromkeys(row.data for row in self.rows))

    def of(self, data: str) -> list[KeypointRow]:
        """The rows of one kind of data."""
        return [row for row in self.rows if row.data == data]


def collect_keypoints(folder: Path) -> KeypointFindings:
    """Read a benchmark's folder, finished or not. Raises `UserError` if it is none or holds no cell."""
    description = read_keypoint_benchmark(folder)
    groups: dict[Path, list[KeypointCell]] = {}  # by the folder that the seeds of a method share
    for file in sorted((folder / CELLS_FOLDER).glob(f"*/*/{CELL_FILE}")):
        groups.setdefault(file.parent.parent, []).append(KeypointCell.read(file.parent))
    if not groups:
        raise UserError(f"the benchmark in '{folder}' has no encoders yet: nothing to report")
    results = {cell.folder: Result.read(cell.folder) for cells in groups.values() for cell in cells}
    rows = [_row(sorted(cells, key=lambda cell: cell.seed), results) for cells in groups.values()]
    settings = description["settings"]
    rows.sort(key=functools.partial(_order, settings=settings))
    for row in rows:
        _keep_tests(row, description["tests"][row.data])
    _label(rows)
    dates = sorted(result.finished for result in results.values() if result.finished)
    machines: list[dict[str, str]] = []
    for result in results.values():
        if result.machine and result.machine not in machines:
            machines.append(result.machine)
    when = (dates[0], dates[-1]) if dates else ("", "")
    return KeypointFindings(rows, settings, description["tests"], description["commands"], machines, when)


def pooled(groups: Sequence[Sequence[Sequence[float]]]) -> Estimate | None:
    """The mean over groups of videos, with an interval that draws training seeds and videos again.

    groups: of each group (an environment), of each of the same seeds, the value of every video, NaN where it
        is not defined. None where nothing is left.
    """
    arrays: list[Array] = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not arrays or len({len(array) for array in arrays}) > 1:
        return None
    defined = np.logical_and.reduce([~np.isnan(array).all(axis=1) for array in arrays])
    arrays = [array[defined] for array in arrays]
    arrays = [array[:, ~np.isnan(array).any(axis=0)] for array in arrays]
    arrays = [array for array in arrays if array.size]
    if not arrays:
        return None
    over_runs: Callable[[Array], Array] = lambda values: np.asarray(values.mean(axis=-1))  # noqa: E731
    return aggregate_estimate([arrays], over_runs)


def _of(metric: str, videos: Sequence[VideoMetrics]) -> list[float]:
    return [getattr(video, metric) for video in videos]


def _row(cells: Sequence[KeypointCell], results: dict[Path, Result]) -> KeypointRow:
    first = cells[0]
    tests: dict[str, dict[int, TestScores]] = {}
    dynamics, warnings, training = {}, {}, []
    for cell in cells:
        for test in cell.tests:
            scores = read_scores(cell, test)
            if scores is not None:
                tests.setdefault(test, {})[cell.seed] = scores
        predicted = read_dynamics(cell) if cell.dynamics else None
        if predicted is not None:
            dynamics[cell.seed] = predicted
        if cell.kind == TRAINED and results[cell.folder].trained:
            metrics = read_json_object(cell.folder / RUN_FOLDER / METRICS_FILE, f"'{cell.folder}'")
            seconds = metrics["cpu_seconds"]
            training.append({"a step": seconds["per_step"], "all": seconds["data"] + seconds["training"]})
            if metrics["warnings"]:
                warnings[cell.seed] = metrics["warnings"]
    failures = {cell.seed: results[cell.folder].failure for cell in cells}
    return KeypointRow(
        first.kind,
        first.data,
        first.method,
        first.digest,
        {cell.seed: cell for cell in cells},
        tests,
        dynamics,
        {seed: reason for seed, reason in failures.items() if reason is not None},
        warnings,
        training,
    )


def _keep_tests(row: KeypointRow, wanted: dict[str, Any]) -> None:
    """Leave out scores on other videos than those that the last command asked for."""
    for test, scores in row.tests.items():
        alike = {seed for seed, cell in row.cells.items() if cell.tests[test] == wanted.get(test)}
        row.tests[test] = {seed: found for seed, found in scores.items() if seed in alike}


def _order(row: KeypointRow, settings: dict[str, Any]) -> tuple[Any, ...]:
    """By data, then methods, encoders and controls, as the last command named them; others come last."""
    methods = [MethodWord.parse(word, ()).name for word in settings["methods"]]
    names = {TRAINED: methods, ENCODER: settings["also"], CONTROL: [RANDOM, GRID]}
    kind = list(names).index(row.kind)
    place = _place(row.method, names[row.kind])
    return (*_place(row.data, settings["data"]), kind, *place, row.digest)


def _place(name: str, known: Sequence[str]) -> tuple[int, str]:
    return (known.index(name), "") if name in known else (len(known), name)


def _label(rows: Sequence[KeypointRow]) -> None:
    """What rows are called; the digest is added where that is needed to tell them apart."""
    for row in rows:
        name = Path(row.method).name if row.kind == ENCODER else row.method
        row.label = name.replace(":", " ", 1).replace(",", " ")
        if row.kind == CONTROL:
            what = "a grid of {} places" if row.method == GRID else "{} random places"
            row.label = what.format(row.digest)
        elif row.kind == ENCODER:
            row.label += " (as it is)"
    keys = [(row.data, row.label) for row in rows]
    for row, key in zip(rows, keys, strict=True):
        if keys.count(key) > 1:
            row.label += f" ({row.digest})"
