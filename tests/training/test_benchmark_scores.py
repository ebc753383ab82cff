"""What is made of the scores in a benchmark's folder, against numbers worked out from how the stub scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mint_rl.errors import UserError
from mint_rl.training.benchmark_scores import Findings, Row, collect, mean_seconds
from mint_rl.training.statistics import interquartile_mean
from tests.training.benchmark_stub import fill, score


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    folder = tmp_path_factory.mktemp("benchmark")
    fill(folder)
    return collect(folder)


def row_of(findings: Findings, task: str = "MoveToRegion", data: str = "protocol", place: int = 0) -> Row:
    return dict(findings.groups(data))[task][place]


def test_rows_stand_in_the_order_of_the_command_and_kinds_of_data_apart(findings: Findings) -> None:
    assert findings.kinds() == ["protocol", "randomised"]
    for data in findings.kinds():
        groups = findings.groups(data)
        assert [task for task, _ in groups] == ["MoveToCorner", "MoveToRegion"]  # as MAGICAL has them
        for task, rows in groups:
            assert [row.label for row in rows] == ["mlp", "cnn width=0.5"]
            assert {(row.task, row.data) for row in rows} == {(task, data)}


def test_every_score_is_where_it_belongs(findings: Findings) -> None:
    row = row_of(findings, place=1)
    scores = row.scores["TestJitter"]
    assert scores.training_seeds == (0, 1, 2)
    assert scores.episode_seeds == tuple(range(1_000_000, 1_000_004))
    wanted = [
        [score({"seed": seed, "method": "cnn"}, "TestJitter", episode) for episode in scores.episode_seeds]
        for seed in (0, 1, 2)
    ]
    np.testing.assert_allclose(scores.values, wanted)
    estimate = row.estimate("TestJitter")
    assert estimate is not None
    assert estimate.mean == pytest.approx(np.mean(wanted))
    assert estimate.low < estimate.mean < estimate.high
    assert row.iqm("TestJitter") == pytest.approx(interquartile_mean(np.mean(wanted, axis=1)))
    assert row.estimate("TestAll") is None


def test_on_demo_training_seeds_alone_are_a_sample(findings: Findings) -> None:
    row = row_of(findings)
    means = row.scores["Demo"].values.mean(axis=1)
    assert row.scores["Demo"].sample("Demo").shape == (3, 1)
    estimate = row.estimate("Demo")
    assert estimate is not None
    assert estimate.low == pytest.approx(means.min(), abs=1e-6), "three runs, drawn again: the worst thrice"
    assert row.scores["TestJitter"].sample("TestJitter").shape == (3, 4)


def test_differences_are_paired_on_the_episodes_they_share(findings: Findings) -> None:
    better, worse = row_of(findings), row_of(findings, place=1)
    difference = better.minus(worse, "TestJitter")
    assert difference is not None
    assert difference.mean == pytest.approx(0.1)
    # runs differ by 0.02 at most, and episodes not at all once they are paired
    assert 0.1 - 0.02 <= difference.low < difference.mean < difference.high <= 0.1 + 0.02
    reverse = worse.minus(better, "Demo")
    assert reverse is not None
    assert reverse.mean == pytest.approx(-0.1)
    fewer = Row("MoveToRegion", "protocol", "x", "", "0", {})
    fewer.scores["TestJitter"] = worse.scores["TestJitter"].on([1_000_002, 1_000_003])
    shared = better.minus(fewer, "TestJitter")
    assert shared is not None
    assert shared.mean == pytest.approx(0.1)
    assert better.minus(fewer, "Demo") is None
    fewer.scores["TestJitter"] = fewer.scores["TestJitter"].__class__((0,), (5,), np.zeros((1, 1)))
    assert better.minus(fewer, "TestJitter") is None, "no episode in common"


def test_aggregates_count_what_every_policy_played(findings: Findings, tmp_path: Path) -> None:
    aggregates = findings.aggregates["protocol"]
    assert aggregates.environments == 4  # two tasks, two variants each
    means = [
        row.scores[variant].values.mean(axis=1)
        for row in (row_of(findings), row_of(findings, "MoveToCorner"))
        for variant in ("Demo", "TestJitter")
    ]
    mean, iqm = aggregates.estimates["mlp"]
    assert mean.mean == pytest.approx(np.mean(means))
    assert iqm.mean == pytest.approx(interquartile_mean(np.concatenate(means)))
    assert iqm.low <= iqm.mean <= iqm.high
    fill(tmp_path, tasks=["MoveToRegion"], data=["protocol"])
    for path in tmp_path.glob("cells/*cnn*/*/scores/Demo.json"):
        path.unlink()
    assert collect(tmp_path).aggregates["protocol"].environments == 1


def test_cpu_seconds_are_of_training(findings: Findings) -> None:
    assert mean_seconds(row_of(findings)) == pytest.approx((1.0, np.mean([4.0, 5.0, 6.0])))
    assert mean_seconds(Row("MakeLine", "protocol", "mlp", "", "0", {})) is None


def test_what_failed_or_is_not_done_is_left_out_and_told(tmp_path: Path) -> None:
    fill(tmp_path, policies=["mlp:history=9"], seeds=2, tasks=["MoveToRegion"], data=["protocol"])
    (row,) = collect(tmp_path).rows
    assert row.failures == {1: "training diverged: the loss is nan"}
    assert row.scores["Demo"].training_seeds == (0,)
    assert list(row.cells) == [0, 1]
    assert row.seconds == [{"training": 4.0, "encoding": 1.0}]
    estimate = row.estimate("Demo")
    assert estimate is not None
    assert np.isnan(estimate.low), "one training run, one start: no interval"


def test_rows_that_a_name_cannot_tell_apart_show_their_digests(tmp_path: Path) -> None:
    fill(tmp_path, tasks=["MoveToRegion"], data=["protocol"], seeds=1)
    (tmp_path / "demos").write_bytes(b"others")
    other = tmp_path / "again"
    fill(other, tasks=["MoveToRegion"], data=["protocol"], seeds=1, policies=["mlp"])
    (other / "demos").write_bytes(b"others")
    fill(other, tasks=["MoveToRegion"], data=["protocol"], seeds=1, policies=["mlp"], encoders=["magical"])
    folder = next((other / "cells").iterdir())
    folder.rename(tmp_path / "cells" / (folder.name[:-8] + "deadbeef"))
    path = tmp_path / "cells" / (folder.name[:-8] + "deadbeef") / "seed-0" / "cell.json"
    path.write_text(path.read_text().replace(folder.name[-8:], "deadbeef"))
    labels = [row.label for row in collect(tmp_path).rows if row.method == "mlp"]
    assert len(set(labels)) == 2
    assert any(label == "mlp (deadbeef)" for label in labels)


def test_several_encoders_are_named(tmp_path: Path) -> None:
    from mint_rl.keypoints.pretrained import load_encoder

    load_encoder("magical").save_pretrained(tmp_path / "mine")
    encoders = ["magical", str(tmp_path / "mine")]
    fill(tmp_path, tasks=["MoveToRegion"], data=["protocol"], seeds=1, encoders=encoders)
    labels = [row.label for row in collect(tmp_path).rows]
    assert labels == ["mlp, magical", "mlp, mine", "cnn width=0.5"]


def test_folders_that_hold_no_benchmark(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no benchmark in"):
        collect(tmp_path)
    (tmp_path / "benchmark.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        collect(tmp_path)
    (tmp_path / "benchmark.json").write_text(json.dumps({"settings": {}, "commands": []}))
    with pytest.raises(UserError, match="has no training runs yet"):
        collect(tmp_path)
