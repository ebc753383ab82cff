"""Which training runs a benchmark consists of, and how they are recognised."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from mint_rl.cli import VERBS, main
from mint_rl.data.demonstrations import write_demonstrations
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError
from mint_rl.training.benchmark_command import command_of
from mint_rl.training.benchmark_config import BenchmarkConfig
from mint_rl.training.benchmark_data import check_demonstrations, shared_demonstrations
from mint_rl.training.benchmark_grid import Cell, Method, check_methods, grid, settings_of
from mint_rl.training.configuration import load_config


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("demos") / "region.hdf5"
    write_demonstrations(path, record_demonstrations("MoveToRegion", 2, seed=0))
    return str(path)


def cells_of(demos: str, **changes: Any) -> list[Cell]:
    options: dict[str, Any] = {"policies": ["mlp"], "seeds": 1, "out": "b"}
    config = BenchmarkConfig(**{**options, **changes})
    return grid(config, {(task, data): [demos] for task in config.tasks for data in config.data})


def digest_of(demos: str, **changes: Any) -> str:
    return cells_of(demos, **changes)[0].digest


def test_every_combination_is_a_cell_and_pixels_need_no_encoder(demos: str) -> None:
    cells = cells_of(
        demos, tasks=["MoveToRegion", "MakeLine"], data=["protocol", "randomised"],
        policies=["mlp", "cnn:seeds=1,policy.width=0.25"], seeds=3,
    )  # fmt: skip
    assert len(cells) == 2 * 2 * (3 + 1)
    assert len({cell.folder for cell in cells}) == len(cells)
    assert {cell.encoder for cell in cells if cell.method == "mlp"} == {"magical"}
    pixels = [cell for cell in cells if cell.method == "cnn:policy.width=0.25"]
    assert {(cell.encoder, cell.seed) for cell in pixels} == {("", 0)}
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)
    shape = next(cell for cell in cells if cell.task == "MakeLine").variants
    assert shape[:2] == ["Demo", "TestJitter"]
    assert "TestCountPlus" in shape


def test_what_is_named_twice_is_run_once(demos: str) -> None:
    assert len(cells_of(demos, policies=["mlp", "mlp", "mlp:seeds=1"], tasks=["MoveToRegion"] * 2)) == 1


def test_the_digest_holds_what_decides_training_and_nothing_else(demos: str, tmp_path: Path) -> None:
    same = digest_of(demos)
    for changes in (
        {"seeds": 4}, {"out": "elsewhere"}, {"threads": 2}, {"episodes": 99}, {"test_seed": 5}, {"jobs": 3},
        {"variants": ["Demo"]}, {"videos": False}, {"policies": ["mlp:seeds=2"]},
    ):  # fmt: skip
        assert digest_of(demos, **changes) == same, changes
    other = tmp_path / "other.hdf5"
    write_demonstrations(other, record_demonstrations("MoveToRegion", 2, seed=50))
    assert digest_of(str(other)) != same
    for policy in ("mlp:steps=7", "mlp:policy.hidden=8", "mlp:temperature=0", "interaction"):
        assert digest_of(demos, policies=[policy]) != same, policy
    # an encoder is known by what it holds, not by its name
    from mint_rl.keypoints.pretrained import load_encoder

    encoder = load_encoder("magical")
    copied = encoder.save_pretrained(tmp_path / "copy")
    assert digest_of(demos, encoders=[str(copied)]) == same
    encoder.config = dataclasses.replace(encoder.config, gamma=11.0)
    encoder.save_pretrained(tmp_path / "copy")
    assert digest_of(demos, encoders=[str(copied)]) != same
    assert digest_of(demos, encoders=["magical:gamma=11"]) == digest_of(demos, encoders=[str(copied)])


def test_a_cell_comes_back_from_its_folder_with_all_settings(demos: str, tmp_path: Path) -> None:
    (cell,) = cells_of(demos, policies=["mlp:steps=7,policy.hidden=8"], out=str(tmp_path), threads=2)
    cell.folder.mkdir(parents=True)
    cell.write()
    assert Cell.read(cell.folder) == cell
    settings = settings_of(cell)
    assert (settings.policy.name, settings.steps, settings.demos) == ("mlp", 7, [demos])
    assert (settings.encoder, settings.seed, settings.threads) == ("magical", 0, 2)
    assert settings.evaluation_episodes == 0
    (cell.folder / "cell.json").write_text('{"task": "MakeLine"}')
    with pytest.raises(UserError, match="does not describe a cell"):
        Cell.read(cell.folder)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mpl", "the policy 'mpl' cannot be: unknown policy 'mpl' .did you mean 'mlp'"),
        ("mlp:stps=3", "the policy 'mlp:stps=3' cannot be: unknown setting 'stps' .did you mean 'steps'"),
        ("mlp:steps=x", "cannot set steps to x: it must be of type integer"),
        ("mlp:seed=3", "the benchmark itself decides 'seed': leave it out of 'mlp:seed=3'"),
        ("mlp:demos=a", "the benchmark itself decides 'demos'"),
        ("mlp:seeds=none", "'seeds' in 'mlp:seeds=none' must be a number of at least 1, got 'none'"),
        ("mlp:steps", "'steps' is not a setting"),
    ],
)
def test_policies_that_cannot_be_are_said_before_any_work(word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_methods(BenchmarkConfig(policies=["mlp", word]))


def test_a_method_keeps_lists_together() -> None:
    method = Method.parse("mlp:seeds=3,variants_of=[a,b],steps=5")
    assert method.settings == ("policy=mlp", "variants_of=[a,b]", "steps=5")
    assert (method.seeds, method.name) == (3, "mlp:variants_of=[a,b],steps=5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["MakeLin"]}, "unknown task 'MakeLin' .did you mean 'MakeLine'"),
        ({"tasks": []}, "'tasks' must name at least one"),
        ({"data": ["protocl"]}, "unknown setting of the data 'protocl' .did you mean 'protocol'"),
        ({"data": ["human+robot"]}, "unknown setting of the data 'robot'"),
        ({"variants": ["TestJiter"]}, "unknown variant 'TestJiter' .did you mean 'TestJitter'"),
        ({"variants": ["TestShape"]}, "MoveToRegion has no variant TestShape; it has: Demo"),
        ({"episodes": 0}, "'episodes' must be at least 1, got 0"),
        ({"jobs": 0}, "'jobs' must be at least 1, got 0"),
        ({"test_seed": -1}, "'test_seed' must be from 0"),
        ({"out": ""}, "'out' must name a folder"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BenchmarkConfig(**changes)


def test_human_demonstrations_belong_to_tasks(demos: str) -> None:
    def check(**changes: Any) -> dict[str, str]:
        return check_demonstrations(BenchmarkConfig(**changes))

    assert check(data=["human+protocol"], human=[demos]) == {"MoveToRegion": demos}
    with pytest.raises(UserError, match="data=human needs demonstrations of MakeLine: name a file"):
        check(tasks=["MoveToRegion", "MakeLine"], data=["human"], human=[demos])
    with pytest.raises(UserError, match=r"both .* and .* show MoveToRegion"):
        check(data=["human"], human=[demos, demos])
    with pytest.raises(UserError, match="there is no scripted expert for the task 'MatchRegions'"):
        check(tasks=["MatchRegions"])


def test_demonstrations_are_recorded_once_and_from_the_starts_of_their_setting(tmp_path: Path) -> None:
    from mint_rl.data.demonstrations import read_demonstrations

    config = BenchmarkConfig(
        data=["protocol", "randomised", "protocol+randomised"], protocol_demos=2, randomised_demos=3,
        out=str(tmp_path),
    )  # fmt: skip
    said: list[str] = []
    found = shared_demonstrations(config, {}, said.append)
    assert len(said) == 2
    protocol, randomised = found["MoveToRegion", "protocol"], found["MoveToRegion", "randomised"]
    assert found["MoveToRegion", "protocol+randomised"] == protocol + randomised
    sets = [read_demonstrations(path) for path in protocol + randomised]
    assert [(one.env_id, len(one)) for one in sets] == [
        ("magical/MoveToRegion-Demo-v0", 2),
        ("magical/MoveToRegion-TestJitter-v0", 3),
    ]
    assert shared_demonstrations(config, {}, said.append) == found
    assert len(said) == 2, "recorded again"


def test_recording_that_fails_costs_its_own_cells_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(config: Any, say: Any) -> None:
        if "TestJitter" in config.env:
            raise UserError("only 0 of 20 attempts succeeded")
        Path(config.out).parent.mkdir(exist_ok=True)
        Path(config.out).write_bytes(b"demonstrations")

    monkeypatch.setattr("mint_rl.training.benchmark_data.record", record)
    said: list[str] = []
    config = BenchmarkConfig(data=["randomised", "protocol"], out=str(tmp_path))
    assert list(shared_demonstrations(config, {}, said.append)) == [("MoveToRegion", "protocol")]
    assert said == ["no demonstrations for MoveToRegion, randomised: only 0 of 20 attempts succeeded"]


def test_the_command_that_is_written_down_gives_the_same_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = BenchmarkConfig(
        preset="paper", tasks=["MakeLine"], policies=["mlp:steps=3", "cnn:policy.width=0.5"], seeds=7,
        encoders=["a folder/it's"], jobs=2, videos=False, launcher="joblib:n_jobs=2", out="here",
    )  # fmt: skip
    seen: list[Any] = []
    verb = VERBS["benchmark"]
    replaced = type(verb)(**{**vars(verb), "run": lambda found: seen.append(found) or 0})
    monkeypatch.setitem(VERBS, "benchmark", replaced)
    assert main(shlex.split(command_of(config))[1:]) == 0
    assert seen == [config]


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_presets_can_be_run(preset: str) -> None:
    config = load_config("benchmark", [f"preset={preset}"])
    assert config.preset == preset
    check_methods(config)
    if preset == "quick":
        assert config == BenchmarkConfig()


def test_presets_are_defaults_and_unknown_ones_are_said() -> None:
    config = load_config("benchmark", ["seeds=3", "preset=paper"])
    assert (config.seeds, config.episodes) == (3, 100)
    with pytest.raises(UserError, match=r"unknown preset 'papr' .did you mean 'paper'"):
        load_config("benchmark", ["preset=papr"])
