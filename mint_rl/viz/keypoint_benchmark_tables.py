"""The tables of a benchmark of keypoints: detection and tracking, prediction, and what each method costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mint_rl.training.dynamics_scores import MEASURES, MOVING, NETWORK, OBJECTS, SEEN, STAY, VELOCITY
from mint_rl.training.keypoint_benchmark_data import MAGICAL
from mint_rl.training.keypoint_benchmark_grid import CONTROL, TRAINED
from mint_rl.training.keypoint_benchmark_scores import KeypointFindings, KeypointRow
from mint_rl.training.keypoint_scores import COLUMNS
from mint_rl.training.statistics import Estimate
from mint_rl.viz.benchmark_tables import Entry, Table

SHOWN = ("dop", "top", "uak", "rak", "identity", "active")
PREDICTORS = {
    NETWORK: "network",
    STAY: "every keypoint stays",
    VELOCITY: "it goes on as it did",
    SEEN: "the encoder itself",
}
READING = (
    "Means with ± half of the 95 % bootstrap interval over training seeds and test videos, both drawn again, "
    "since all seeds meet the same videos; summary.json has both ends. Over several environments it is the "
    "mean of their means. DOP, TOP: share of the objects that have a keypoint, and keep one from frame to "
    "frame, higher is better. UAK: keypoints on nothing, RAK: keypoints out of proportion to areas, lower is "
    "better. same+1: of the keypoints on an object, the share that is on the same one in the next frame, "
    "higher is better. Every keypoint of a control is active, and knows nothing of the image: many of "
    "them find many objects, so read DOP and TOP beside UAK and same+1. Encoders taken as they are were "
    "trained elsewhere, perhaps on more."
)
PREDICTION = (
    "A network learns how an encoder's keypoints move. Counted is the share of the objects in sight with a "
    "keypoint that lies on them and is predicted to lie on them so many steps ahead; beside it copying the "
    "last place, constant velocity, and where the encoder itself finds the keypoint in that frame: what a "
    "perfect prediction of its keypoints would score."
)


def keypoint_tables(findings: KeypointFindings) -> list[Table]:
    """All tables: for each kind of data its scores, predictions where there are any, and costs."""
    found: list[Table] = []
    for data in findings.kinds():
        rows = findings.of(data)
        scored = [row for row in rows if any(row.tests.values())]
        if scored:
            found += _scores(data, scored)
        predicted = [row for row in rows if row.dynamics]
        if predicted:
            found += _predictions(data, predicted, findings.settings["horizons"])
        if scored:
            found.append(_cost(data, scored))
    return found


def keypoint_failures(findings: KeypointFindings) -> list[str]:
    """A sentence for each cell that failed."""
    return [
        f"{row.data}, {row.label}, seed {seed}: {reason}"
        for row in findings.rows
        for seed, reason in row.failures.items()
    ]


def keypoint_warnings(findings: KeypointFindings) -> list[str]:
    """A sentence for each sign of failure that a training run gave."""
    return [
        f"{row.data}, {row.label}, seed {seed}: {warning}"
        for row in findings.rows
        for seed, warnings in row.warnings.items()
        for warning in warnings
    ]


def test_groups(data: str, rows: Sequence[KeypointRow]) -> dict[str, list[str]]:
    """What is averaged over, by name: all tests, and where there are several variants of MAGICAL, each."""
    tests = list(dict.fromkeys(test for row in rows for test, scores in row.tests.items() if scores))
    found = {"all environments" if len(tests) > 1 else tests[0]: tests}
    variants = dict.fromkeys(test.split("-")[1] for test in tests) if data == MAGICAL else {}
    if len(variants) > 1:
        found |= {name: [test for test in tests if test.split("-")[1] == name] for name in variants}
    return found


def _scores(data: str, rows: Sequence[KeypointRow]) -> Iterator[Table]:
    header = ["method", "seeds", *(COLUMNS[metric][0] for metric in SHOWN)]
    for name, tests in test_groups(data, rows).items():
        body = [
            [Entry(row.label), _seeds(row, tests)]
            + [_entry(row.estimate(metric, tests), COLUMNS[metric][1]) for metric in SHOWN]
            for row in rows
        ]
        counts = [len(one.videos) for row in rows for t in tests for one in row.tests.get(t, {}).values()]
        each = f"{max(counts)} test video{'s' * (max(counts) > 1)}"
        note = f"{len(tests)} environments, {each} each." if len(tests) > 1 else f"{each}."
        yield Table(data, f"{data}, {name}: objects found and tracked", header, body, note)


def _predictions(data: str, rows: Sequence[KeypointRow], horizons: Sequence[int]) -> Iterator[Table]:
    header = ["method", "who predicts", *(f"{ahead} ahead" for ahead in horizons)]
    for measure in (OBJECTS, MOVING):
        body = [
            [Entry(row.label if who == NETWORK else ""), Entry(words)]
            + [_entry(row.predicted(measure, who, ahead), 3) for ahead in horizons]
            for row in rows
            for who, words in PREDICTORS.items()
        ]
        yield Table(data, f"{data}: objects predicted, {measure}", header, body, MEASURES[measure])


def _cost(data: str, rows: Sequence[KeypointRow]) -> Table:
    body = []
    for row in rows:
        if row.kind == CONTROL:
            continue
        body.append(
            [
                Entry(row.label),
                _number(row.cost("a step"), 3),
                _number(row.cost("all"), 0),
                _number(row.milliseconds, 2),
            ]
        )
    return Table(
        data, f"{data}: cost", ["method", "CPU s a step", "CPU s of a training run", "ms a frame"], body,
        "CPU time; means over training seeds. A training run includes reading its videos; a frame is encoded "
        "on one core, in batches of eight.",
    )  # fmt: skip


def _seeds(row: KeypointRow, tests: Sequence[str]) -> Entry:
    """How many training seeds are scored on all of the tests, out of how many if some are not."""
    if row.kind != TRAINED:
        return Entry("–")
    done = len(set.intersection(*(set(row.tests.get(test, {})) for test in tests)))
    return Entry(str(done) if done == len(row.cells) else f"{done} of {len(row.cells)}", done)


def _entry(estimate: Estimate | None, decimals: int) -> Entry:
    return (
        Entry("–") if estimate is None else Entry(estimate.text(decimals).replace("±", " ± "), estimate.mean)
    )


def _number(value: float | None, decimals: int) -> Entry:
    return Entry("–") if value is None else Entry(f"{value:,.{decimals}f}", value)
