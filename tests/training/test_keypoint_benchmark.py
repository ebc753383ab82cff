"""A benchmark of keypoints: its grid, its cells in this process, what failed, what was interrupted."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mint_rl.cli import VERBS, main
from mint_rl.cli.benchmark_job import run as run_job
from mint_rl.data.bouncing import videos as bouncing
from mint_rl.data.videos.clevrer import masked_clevrer
from mint_rl.errors import UserError
from mint_rl.training import benchmark_launch as module
from mint_rl.training import keypoint_benchmark_cell
from mint_rl.training.benchmark_command import command_of
from mint_rl.training.benchmark_launch import BenchmarkResult
from mint_rl.training.configuration import load_config
from mint_rl.training.keypoint_benchmark import keypoint_benchmark, read_keypoint_benchmark
from mint_rl.training.keypoint_benchmark_cell import is_finished, run_keypoint_cell
from mint_rl.training.keypoint_benchmark_config import KeypointBenchmarkConfig
from mint_rl.training.keypoint_benchmark_data import data_set
from mint_rl.training.keypoint_benchmark_grid import KeypointCell, keypoint_grid
from mint_rl.training.keypoint_benchmark_scores import collect_keypoints, pooled
from tests.training.test_keypoint_evaluation import write_clevrer


def small(folder: Path, **changes: Any) -> KeypointBenchmarkConfig:
    options: dict[str, Any] = {
        "methods": ["mint:pairs=2"], "data": ["bouncing:frames=8"], "steps": 2, "videos": 2, "test_videos": 2,
        "size": "24x24", "jobs": 1, "controls": [25], "out": str(folder),
    }  # fmt: skip
    return KeypointBenchmarkConfig(**{**options, **changes})


_made_once = functools.cache(bouncing.bouncing_video)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bouncing, "bouncing_video", _made_once)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cells run in this process, whose imports are done; the names of those that were started."""
    names: list[str] = []

    def run(cells: Sequence[KeypointCell], *others: object) -> dict[str, str]:
        failures = {}
        for cell in cells:
            names.append(cell.name)
            assert run_job(str(cell.folder)) in (0, 1)
            failure = run_keypoint_cell(cell.folder).failure if not is_finished(cell) else None
            if failure is not None:
                failures[cell.name] = failure
        return failures

    monkeypatch.setattr(module, "run_in_processes", run)
    return names


def run(config: KeypointBenchmarkConfig, said: list[str] | None = None) -> BenchmarkResult:
    return keypoint_benchmark(config, ("nothing",), ([] if said is None else said).append)


def test_trains_scores_and_does_nothing_twice(tmp_path: Path, started: list[str]) -> None:
    config = small(tmp_path, seeds=2, also=["magical"])
    result = run(config)
    assert result == BenchmarkResult(tmp_path, 6, {}, False)
    assert sorted(started) == sorted(
        f"bouncing:frames=8, {name}"
        for name in (
            "mint:pairs=2, seed 0", "mint:pairs=2, seed 1", "magical, seed 0", "random, seed 0",
            "random, seed 1", "grid, seed 0",
        )
    )  # fmt: skip
    assert run(config).finished == 6
    assert len(started) == 6
    rows = collect_keypoints(tmp_path).rows
    labels = [row.label for row in rows]
    assert labels == ["mint pairs=2", "magical (as it is)", "25 random places", "a grid of 25 places"]
    assert rows[0].cost("a step") is not None
    assert rows[1].cost("a step") is None
    active = rows[3].estimate("active", ["bouncing"])
    assert active is not None
    assert (active.mean, active.low, active.high) == (25.0, 25.0, 25.0)
    assert [len(row.tests["bouncing"]) for row in rows] == [2, 1, 2, 1]

    # More test videos: scored again, not trained again. Another method: only that.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/*/run/model.safetensors")}
    more = replace(config, test_videos=3, seeds=1, methods=["mint:pairs=2", "mint:pairs=3,seeds=1"])
    assert run(more).finished == 5
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = collect_keypoints(tmp_path).rows
    assert [list(row.tests["bouncing"]) for row in rows] == [[0]] * 5, "seed 1 was scored on other videos"
    assert all(len(row.tests["bouncing"][0].videos) == 3 for row in rows)
    commands = [entry["command"] for entry in read_keypoint_benchmark(tmp_path)["commands"]]
    assert len(commands) == 2
    assert "--methods mint:pairs=2 mint:pairs=3,seeds=1" in commands[1]


def test_scores_on_other_videos_are_left_out(tmp_path: Path, started: list[str]) -> None:
    run(small(tmp_path, also=[]))
    run(small(tmp_path, also=[], methods=[], controls=[9], test_videos=1))
    found = {row.label: row.estimate("active", ["bouncing"]) for row in collect_keypoints(tmp_path).rows}
    assert found["a grid of 9 places"] is not None
    assert found["a grid of 25 places"] is None
    assert found["mint pairs=2"] is None


def test_a_cell_that_fails_costs_itself_alone(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = keypoint_benchmark_cell.pretrain

    def pretrain(config: Any) -> Any:
        if config.pairs == 3:
            raise UserError("training diverged: the loss of step 3 is nan")
        return real(config, say=lambda line: None)

    monkeypatch.setattr(keypoint_benchmark_cell, "pretrain", pretrain)
    config = small(tmp_path, methods=["mint:pairs=3", "mint:pairs=2"], also=[], controls=[])
    result = run(config)
    assert result.finished == 1
    name = "bouncing:frames=8, mint:pairs=3, seed 0"
    assert result.failures == {name: "training diverged: the loss of step 3 is nan"}
    (failed, _) = collect_keypoints(tmp_path).rows
    assert failed.failures == {0: "training diverged: the loss of step 3 is nan"}
    monkeypatch.setattr(keypoint_benchmark_cell, "pretrain", real)
    assert run(config).finished == 2, "what failed is tried again"


def test_an_interrupted_run_is_gone_on_with(
    tmp_path: Path, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def pretrain(config: Any) -> Any:
        asked.append(config)
        (Path(config.out) / "unfinished").mkdir(parents=True, exist_ok=True)
        seconds = {"data": 1.0, "training": 2.0}
        return SimpleNamespace(interrupted=len(asked) == 1, metrics={"cpu_seconds": seconds})

    monkeypatch.setattr(keypoint_benchmark_cell, "pretrain", pretrain)
    config = small(tmp_path, also=[], controls=[])
    (cell,) = keypoint_grid(config, [data_set(config, word) for word in config.data])
    cell.folder.mkdir(parents=True)
    replace(cell, tests={}).write()
    with pytest.raises(KeyboardInterrupt):
        run_keypoint_cell(cell.folder)
    assert not is_finished(cell)
    assert run_keypoint_cell(cell.folder).cpu_seconds == {"data": 1.0, "training": 2.0}
    assert [(one.resume, one.overwrite) for one in asked] == [(False, True), (True, False)]


def test_the_folder_of_a_cell_is_decided_by_what_trains_it(tmp_path: Path) -> None:
    def folders(**changes: Any) -> list[Path]:
        config = small(tmp_path, **{"also": [], "controls": [0], **changes})
        return [cell.folder for cell in keypoint_grid(config, [data_set(config, d) for d in config.data])]

    (usual,) = folders()
    assert folders(test_videos=9, dynamics=True, jobs=3) == [usual]
    for other in ({"steps": 3}, {"videos": 4}, {"size": "36x36"}, {"data": ["bouncing:frames=9"]}):
        assert folders(**other) != [usual], other
    assert [path.parent for path in folders(seeds=2)] == [usual.parent] * 2
    assert folders(methods=["mint:pairs=2", "mint:pairs=2,seeds=1"]) == [usual]
    # Steps of its own come before those of all.
    assert folders(methods=["mint:pairs=2,steps=2"], steps=None) == folders(methods=["mint:pairs=2,steps=2"])


def test_what_magical_is_scored_on(tmp_path: Path) -> None:
    config = KeypointBenchmarkConfig(tasks=["MakeLine"], variants=["Demo", "TestAll"], episodes=3)
    found = data_set(config, "magical")
    assert found.tests == {
        f"MakeLine-{variant}": {"tasks": ["MakeLine"], "variants": [variant], "episodes": 3}
        for variant in ("Demo", "TestAll")
    }
    assert found.training == {"data": [], "env": None, "rollouts": 3}


def test_a_folder_is_split_into_videos_to_train_on_and_others_to_score_on(tmp_path: Path) -> None:
    write_clevrer(tmp_path / "CLEVRER", 5)
    config = small(tmp_path / "out", data=[str(tmp_path / "CLEVRER")], videos=2, test_videos=2)
    found = data_set(config, config.data[0])
    (trained,), (test,) = found.training["data"], found.tests["CLEVRER"]["data"]
    names = [sorted(path.name for path in Path(part).iterdir()) for part in (trained, test)]
    assert names[0] == ["video_00000.mp4", "video_00001.mp4"]
    assert names[1] == [
        "proposal_00003.json", "proposal_00004.json", "video_00003.mp4", "video_00004.mp4",
    ]  # fmt: skip
    assert len(list(masked_clevrer(test))) == 2
    assert data_set(config, config.data[0]) == found
    write_clevrer(tmp_path / "one", 1)
    with pytest.raises(UserError, match=r"has 1 videos .* with proposals"):
        run(small(tmp_path / "out", data=[str(tmp_path / "one")]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--methods mnt", "unknown method 'mnt' (did you mean 'mint'?); known: keypointgan, mint,"),
        ("--methods mint:stps=3", "the method 'mint:stps=3' cannot be: unknown setting 'stps'"),
        ("--methods transporter:apart=0.5", "cannot be: the method 'transporter' compares the frames"),
        ("--methods mint:data=x", "the benchmark itself decides 'data': leave it out of 'mint:data=x'"),
        ("--methods mint:seeds=0", "'seeds' in 'mint:seeds=0' must be a number of at least 1"),
        ("--data magicl", "unknown data 'magicl' (did you mean 'magical'?)"),
        ("--data bouncing:frmes=3", "unknown setting of bouncing 'frmes'"),
        ("--also nowhere", "unknown encoder 'nowhere'"),
        ("--variants TestJiter", "unknown variant 'TestJiter'"),
        ("--tasks MoveToCornr", "did you mean 'MoveToCorner'?"),
        ("--preset papr", "unknown preset 'papr' (did you mean 'paper'?)"),
        ("--launcher slurm", "unknown launcher 'slurm'"),
        ("--horizons 0", "'horizons' must hold different numbers of steps"),
        ("--seeds 0", "'seeds' must be at least 1"),
        ("--out /proc/x", "cannot write to the folder"),
    ],
)
def test_mistakes_are_one_sentence_before_any_work(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "keypoints", *words.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mint-rl: ")
    assert len(error.splitlines()) == 1
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_other_benchmark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text("{}")
    with pytest.raises(UserError, match="holds a benchmark of policies"):
        run(small(tmp_path))


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_presets_are_defaults(preset: str, tmp_path: Path) -> None:
    config = load_config("keypoint_benchmark", [f"preset={preset}", f"out={tmp_path}"])
    assert config.preset == preset
    assert config.seeds == {"quick": 1, "paper": 5}[preset]
    assert keypoint_grid(config, [data_set(config, word) for word in config.data])
    words = shlex.split(command_of(config, "keypoint_benchmark", "benchmark keypoints"))[1:]
    assert words == ["benchmark", "keypoints", "--preset", preset, "--out", str(tmp_path)]
    assert load_config("keypoint_benchmark", ["preset=paper", "seeds=2"]).seeds == 2


@pytest.mark.parametrize("dynamics", [True, False])
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_command_that_is_written_down_gives_the_same_configuration(
    preset: str, dynamics: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a preset has switched on what is off by default."""
    config = load_config("keypoint_benchmark", [f"preset={preset}", f"dynamics={dynamics}", "seeds=3"])
    seen: list[KeypointBenchmarkConfig] = []
    verb = VERBS["benchmark keypoints"]
    replaced = type(verb)(**{**vars(verb), "run": lambda found: seen.append(found) or 0})
    monkeypatch.setitem(VERBS, "benchmark keypoints", replaced)
    assert main(shlex.split(command_of(config, "keypoint_benchmark", "benchmark keypoints"))[1:]) == 0
    assert seen == [config]


def test_estimates_over_seeds_and_videos() -> None:
    one = pooled([[[0.0, 1.0], [0.5, 0.5]], [[1.0], [0.0]]])
    assert one is not None
    assert one.mean == pytest.approx(0.5)
    assert one.low < one.mean < one.high
    nan = np.nan
    # The second seed is never defined; the first video of the first group is not for the first seed.
    left = pooled([[[nan, 0.25], [nan, nan], [0.9, 0.75]], [[1.0], [1.0], [1.0]]])
    assert left is not None
    assert left.mean == pytest.approx((0.5 + 1.0) / 2)
    assert pooled([[[nan]]]) is None
    assert pooled([]) is None
    certain = pooled([[[0.5]]])
    assert certain is not None
    assert certain.mean == 0.5
    assert np.isnan(certain.low)


def test_a_damaged_cell_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "keypoint_cell.json").write_text(json.dumps({"kind": "trained"}))
    with pytest.raises(UserError, match="does not describe a cell of a benchmark"):
        run_keypoint_cell(tmp_path)
