"""Estimates, their groups and the table they make, on numbers worked out by hand."""

from __future__ import annotations

import json
import math

import pytest

from mint_rl.keypoints.metrics import VideoMetrics
from mint_rl.training.keypoint_scores import LEGEND, EncoderScores, comparison, groups, table
from mint_rl.training.statistics import Estimate

CORNER, LINE = "magical/MoveToCorner-Demo-v0", "magical/MakeLine-Demo-v0"
ALL = "magical/MoveToCorner-TestAll-v0"


def metrics(dop: float, identity: float = 0.5) -> VideoMetrics:
    return VideoMetrics(dop, dop, 2.0, 1.0, identity, identity, math.nan, 12.0)


def scores(name: str, *videos: tuple[str, float]) -> EncoderScores:
    found = EncoderScores(name, "γ 10")
    for env, dop in videos:
        found.add(env, metrics(dop), seconds=0.02, frames=10)
    return found


def test_an_estimate_is_the_mean_of_the_groups_means() -> None:
    assert Estimate.of([[0.0, 1.0, math.nan], [0.9], [math.nan]]).mean == pytest.approx((0.5 + 0.9) / 2)
    sure = Estimate.of([[0.7, 0.7]])
    assert (sure.low, sure.high) == (0.7, 0.7)
    assert math.isnan(Estimate.of([[math.nan]]).mean)
    lonely = Estimate.of([[0.7], [0.9, math.nan]])
    assert lonely.mean == pytest.approx(0.8)
    assert math.isnan(lonely.low)
    assert math.isnan(lonely.high)


def test_the_interval_holds_the_groups_apart() -> None:
    # Drawn again within their groups, values that only differ between groups leave no doubt.
    apart = Estimate.of([[0.0] * 5, [1.0] * 5])
    assert (apart.mean, apart.low, apart.high) == (0.5, 0.5, 0.5)
    together = Estimate.of([[0.0] * 5 + [1.0] * 5])
    assert together.low < 0.3
    assert together.high > 0.7


@pytest.mark.parametrize(
    ("estimate", "decimals", "text"),
    [
        (Estimate(0.9965, 0.994, 0.999), 3, ".997±.003"),
        (Estimate(1.0, 1.0, 1.0), 3, "1.000±.000"),
        (Estimate(12.34, 12.0, 12.5), 1, "12.3±.2"),
        (Estimate(-0.0234, -0.03, -0.01), 3, "-.023±.010"),
        (Estimate(-0.0001, 0.0, 0.0), 3, ".000±.000"),
        (Estimate(10.04, 10.0, 10.1), 2, "10.04±.05"),
        (Estimate(0.5, math.nan, math.nan), 3, ".500"),
        (Estimate(math.nan, math.nan, math.nan), 3, "–"),
    ],
)
def test_numbers_in_the_table(estimate: Estimate, decimals: int, text: str) -> None:
    assert estimate.text(decimals) == text


def test_groups() -> None:
    assert groups([CORNER]) == {}
    assert groups([CORNER, LINE]) == {"mean": [CORNER, LINE]}
    assert groups([CORNER, LINE, ALL]) == {"mean of Demo": [CORNER, LINE], "mean": [CORNER, LINE, ALL]}
    assert groups(["CLEVRER"]) == {}


def test_rows_and_times() -> None:
    found = scores("a", (CORNER, 1.0), (CORNER, 0.8), (LINE, 0.5), (ALL, 0.1))
    rows = {name: row["dop"].mean for name, row in found.rows().items()}
    assert rows == {
        CORNER: pytest.approx(0.9),
        LINE: 0.5,
        ALL: 0.1,
        "mean of Demo": pytest.approx(0.7),
        "mean": pytest.approx(0.5),
    }
    assert found.milliseconds == pytest.approx(2.0)


def test_differences_are_of_the_same_videos() -> None:
    first = scores("first", (CORNER, 0.2), (CORNER, 0.8))
    second = scores("second", (CORNER, 0.3), (CORNER, 0.9))
    row = second.rows(first)[CORNER]["dop"]
    # Each video gained .1, so that is certain, however much the videos differ.
    assert (row.mean, row.low, row.high) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))


def test_the_table_names_what_it_shows() -> None:
    first = scores("first", *[(CORNER, 0.2), (LINE, 1.0)] * 2)
    second = scores("second", *[(CORNER, 0.3), (LINE, 0.9)] * 2)
    text = table(second, first)
    assert text.splitlines()[0] == "second  (γ 10; 2.00 ms a frame)"
    heading, corner = text.splitlines()[1:3]
    assert heading.split() == ["DOP", "TOP", "UAK", "RAK", "same+1", "same+5", "same+20", "active"]
    assert corner.split() == [
        "MoveToCorner-Demo", ".300±.000", ".300±.000", "2.00±.00", "1.00±.00", ".500±.000", ".500±.000", "–",
        "12.0±.0",
    ]  # fmt: skip
    assert "minus first" in text
    assert text.splitlines()[-1].split()[:2] == ["mean", ".000±.000"]
    for name in ("DOP", "TOP", "UAK", "RAK", "same+n"):
        assert name in LEGEND
    assert all(len(line) <= 115 for line in f"{text}\n{LEGEND}".splitlines())


def test_json_has_both_ends_and_no_nan() -> None:
    first, second = scores("first", *[(CORNER, 0.2)] * 2), scores("second", *[(CORNER, 0.3)] * 2)
    content = json.loads(json.dumps(second.to_json(first), allow_nan=False))
    assert content["rows"][CORNER]["dop"] == {"mean": 0.3, "interval": [0.3, 0.3]}
    assert content["rows"][CORNER]["identity_20"] == {"mean": None, "interval": None}
    assert content["minus"]["encoder"] == "first"
    assert content["minus"]["rows"][CORNER]["dop"]["mean"] == pytest.approx(0.1)


def test_encoders_side_by_side() -> None:
    several = [scores(f"runs/{name}", (CORNER, dop), (LINE, dop)) for name, dop in (("a", 0.2), ("b", 0.4))]
    assert [line.split()[:2] for line in comparison(several).splitlines()[1:]] == [
        ["mean"], ["runs/a", ".200"], ["runs/b", ".400"],
    ]  # fmt: skip
    alone = [scores("a", (CORNER, 0.2))]
    assert comparison(alone).splitlines()[1] == "MoveToCorner-Demo"
