"""A benchmark as a whole, a stub in place of training: run, failed, killed, interrupted, gone on with."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mint_rl.errors import UserError
from mint_rl.training.benchmark import benchmark, read_benchmark
from mint_rl.training.benchmark_cell import is_finished
from mint_rl.training.benchmark_config import BenchmarkConfig
from mint_rl.training.benchmark_grid import Cell
from mint_rl.training.benchmark_launch import BenchmarkResult, failure, parse_launcher

STUB = (sys.executable, str(Path(__file__).with_name("benchmark_stub.py")))


@pytest.fixture(autouse=True)
def _no_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Demonstrations are not what is tested here."""

    def record(config: Any, say: Any) -> None:
        Path(config.out).parent.mkdir(exist_ok=True, parents=True)
        Path(config.out).write_bytes(config.env.encode())

    monkeypatch.setattr("mint_rl.training.benchmark_data.record", record)


def run(folder: Path, said: list[str] | None = None, **changes: Any) -> BenchmarkResult:
    options: dict[str, Any] = {
        "policies": ["mlp", "cnn:seeds=1"], "variants": ["Demo", "TestJitter"], "seeds": 3, "episodes": 2,
        "jobs": 2, "out": str(folder),
    }  # fmt: skip
    lines = [] if said is None else said
    return benchmark(BenchmarkConfig(**{**options, **changes}), STUB, lines.append)


def starts(folder: Path) -> list[str]:
    """The seeds of the cells that were started, in order of names."""
    return [seed for file in sorted(folder.glob("cells/*/starts.txt")) for seed in file.read_text().split()]


def test_every_cell_is_run_once_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    said: list[str] = []
    result = run(tmp_path, said)
    assert result == BenchmarkResult(tmp_path, 4, {}, False)
    assert said == [f"4 training runs, of which 0 are finished: '{tmp_path}'"]
    assert sorted(starts(tmp_path)) == ["0", "0", "1", "2"]
    assert run(tmp_path, said).finished == 4
    assert said[-1] == f"4 training runs, of which 4 are finished: '{tmp_path}'"
    assert len(starts(tmp_path)) == 4
    # another policy, and more seeds: only what is new
    assert run(tmp_path, policies=["mlp", "mlp:steps=9"], seeds=4).finished == 8
    assert len(starts(tmp_path)) == 4 + 1 + 4


def test_every_policy_plays_the_same_episodes(tmp_path: Path) -> None:
    run(tmp_path, test_seed=77)
    played = {
        json.loads(path.read_text())["evaluation"][path.stem]["seed"]
        for path in tmp_path.glob("cells/*/*/scores/*.json")
    }
    assert played == {77}


def test_a_run_that_fails_costs_itself_alone(tmp_path: Path) -> None:
    said: list[str] = []
    result = run(tmp_path, said, policies=["mlp:history=9"], seeds=4)
    assert result.finished == 1
    name = "MoveToRegion, protocol, mlp:history=9 on magical, seed"
    assert result.failures == {
        f"{name} 1": "training diverged: the loss is nan",
        f"{name} 2": "its process was ended by SIGKILL (out of memory?)",
        f"{name} 3": "over two lines",
    }
    assert {f"failed: {name}: {reason}" for name, reason in result.failures.items()} <= set(said)
    assert not result.interrupted
    run(tmp_path, said, policies=["mlp:history=9"], seeds=4)
    assert sorted(starts(tmp_path)) == ["0", "1", "1", "2", "2", "3", "3"], "what failed is tried again"


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Also where these tests run in the background of a shell, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_an_interrupted_benchmark_goes_on_where_it_stopped(tmp_path: Path) -> None:
    # Seed 4 presses Ctrl-C; the two before it, of another policy, are done by then.
    first = run(tmp_path, policies=["cnn"], seeds=2)
    assert first.finished == 2
    said: list[str] = []
    stopped = run(tmp_path, said, policies=["cnn:seeds=2", "mlp:history=9"], seeds=6, jobs=1)
    assert stopped.interrupted
    assert stopped.failures == {}, "an interruption is no failure"
    done = stopped.finished
    assert 2 < done < 8
    after = run(tmp_path, said, policies=["cnn:seeds=2", "mlp:history=9"], seeds=6, jobs=1)
    assert not after.interrupted
    assert after.finished == 8 - 3, "all but those that fail for good"
    assert starts(tmp_path).count("5") == 1


def test_data_that_cannot_be_had_is_a_failure_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(config: Any, say: Any) -> None:
        if "TestJitter" in config.env:
            raise UserError("only 0 of 20 attempts succeeded")
        Path(config.out).parent.mkdir(exist_ok=True, parents=True)
        Path(config.out).write_bytes(b"")

    monkeypatch.setattr("mint_rl.training.benchmark_data.record", record)
    result = run(tmp_path, data=["randomised", "protocol"])
    assert result.finished == 4
    assert result.failures == {"MoveToRegion, randomised": "there are no demonstrations"}


def test_the_folder_says_what_was_asked_for(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path)
    run(tmp_path, seeds=4)
    noted = read_benchmark(tmp_path)
    assert noted["settings"]["seeds"] == 4
    commands = [entry["command"] for entry in noted["commands"]]
    assert len(commands) == 2
    assert commands[1].startswith("mint-rl benchmark --preset quick --policies mlp cnn:seeds=1 --seeds 4")
    assert set(noted["pretraining_cpu_seconds"]) == {"magical"}


def test_an_encoder_that_tells_how_long_it_took_is_believed(tmp_path: Path) -> None:
    from mint_rl.keypoints.pretrained import load_encoder

    load_encoder("magical").save_pretrained(tmp_path / "encoder")
    seconds = {"data": 10.0, "training": 20.5, "per_step": 0.1, "waiting": 1.0}
    (tmp_path / "encoder" / "metrics.json").write_text(json.dumps({"cpu_seconds": seconds}))
    run(tmp_path / "out", encoders=[str(tmp_path / "encoder")])
    noted = read_benchmark(tmp_path / "out")["pretraining_cpu_seconds"]
    assert noted == {str(tmp_path / "encoder"): 30.5}


def test_mistakes_are_said_before_anything_is_written(tmp_path: Path) -> None:
    for changes, message in (
        ({"policies": ["mlp", "cnn:stps=3"]}, "unknown setting 'stps'"),
        ({"encoders": ["nowhere"]}, "nowhere"),
        ({"data": ["human"]}, "data=human needs demonstrations of MoveToRegion"),
        ({"data": ["human"], "human": ["nowhere.hdf5"]}, "demonstration file 'nowhere.hdf5' does not exist"),
        ({"launcher": "slurm"}, "unknown launcher 'slurm'"),
        ({"tasks": ["FindDupe"]}, "no scripted expert for the task 'FindDupe'"),
    ):
        with pytest.raises(UserError, match=message):
            run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_launchers_are_hydras(tmp_path: Path) -> None:
    """`basic`, which comes with Hydra, runs one cell after the other; folders have odd names on purpose."""
    assert parse_launcher("basic:a=1,b=2") == ("basic", ["a=1", "b=2"])
    folder = tmp_path / "it's [odd], {really}=$x"
    said: list[str] = []
    result = run(folder, said, launcher="basic", seeds=2)
    assert result.finished == 3, result.failures
    assert len(starts(folder)) == 3
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_launcher_that_loses_a_cell_is_noticed(tmp_path: Path) -> None:
    said: list[str] = []
    result = run(tmp_path, said, policies=["mlp"], seeds=1, launcher="basic:nonsense=1")
    assert result.finished == 0
    assert list(result.failures.values()) == ["it was not run"]
    assert said[-1].startswith("the launcher ended with status 1, and says why in ")
    assert "nonsense" in (tmp_path / "hydra" / "output.txt").read_text()


def test_why_a_process_ended(tmp_path: Path) -> None:
    cell = Cell("MakeLine", "protocol", "mlp", "", 0, [], "0", tmp_path, ["Demo"], 1, 0, 1, False)
    assert failure(cell, is_finished) == "it was not run"
    assert failure(cell, is_finished, -11) == "its process was ended by SIGSEGV"
    (tmp_path / "output.txt").write_text("Traceback\nMemoryError: no room\n\n")
    assert failure(cell, is_finished, 1) == "MemoryError: no room"
