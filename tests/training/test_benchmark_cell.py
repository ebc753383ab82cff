"""One cell of a benchmark: what is done, what is done again, and what failures leave behind."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mint_rl.cli.benchmark_job import run
from mint_rl.data.demonstrations import write_demonstrations
from mint_rl.envs.magical.recording import record_demonstrations
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.checkpoint import load_policy
from mint_rl.training import benchmark_cell
from mint_rl.training.benchmark_cell import is_finished, read_scores, run_cell, unfinished_variants
from mint_rl.training.benchmark_grid import Cell, present_digest
from mint_rl.training.cell_result import Result
from mint_rl.training.evaluate import evaluate
from mint_rl.viz.video import can_write_video


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    demos = tmp_path / "demos.hdf5"
    demos.write_bytes(b"demonstrations")
    return written(
        Cell(
            "MoveToRegion", "protocol", "mlp", "magical", 0, [str(demos)], "", tmp_path / "cell",
            ["Demo", "TestJitter"], 3, 500, 1, True,
        )
    )  # fmt: skip


def written(cell: Cell) -> Cell:
    """The cell in its folder, with the digest of what there is."""
    cell.folder.mkdir()
    cell = replace(cell, digest=present_digest(cell))
    cell.write()
    return cell


class Work:
    """Counts what would be trained and evaluated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained: list[Any] = []
        self.evaluated: list[Any] = []
        self.interrupted = False
        self.error: BaseException | None = None
        monkeypatch.setattr(benchmark_cell, "behaviour_cloning", self.train)
        monkeypatch.setattr(benchmark_cell, "evaluate_run", self.evaluate)

    def train(self, config: Any) -> Any:
        self.trained.append(config)
        if self.error is not None:
            raise self.error
        seconds = {"demonstrations": 50.0, "encoding": 1.0, "training": 2.0, "evaluation": 0.5}
        return SimpleNamespace(interrupted=self.interrupted, metrics={"cpu_seconds": seconds})

    def evaluate(self, config: Any) -> None:
        self.evaluated.append(config)
        scores = {"seed": config.seed, "scores": [0.5] * config.episodes}
        Path(config.out).parent.mkdir(exist_ok=True)
        Path(config.out).write_text(json.dumps({"evaluation": {config.variants[0]: scores}}))


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def test_trains_evaluates_and_films_once(cell: Cell, work: Work) -> None:
    filmed: list[Path] = []
    assert not is_finished(cell)
    result = run_cell(cell.folder, filmed.append)
    assert is_finished(cell)
    assert filmed == [cell.folder]
    assert result.training_seconds == {"encoding": 1.0, "training": 2.0}, "recording and scoring are not"
    (trained,) = work.trained
    assert (trained.out, trained.overwrite, trained.resume) == (str(cell.folder / "run"), True, False)
    assert trained.evaluation_episodes == 0
    assert [(e.variants, e.episodes, e.seed, e.env) for e in work.evaluated] == [
        (["Demo"], 3, 500, "MoveToRegion"),
        (["TestJitter"], 3, 500, "MoveToRegion"),
    ]
    assert read_scores(cell.folder, "Demo") == {500: 0.5, 501: 0.5, 502: 0.5}
    again = run_cell(cell.folder)
    assert (len(work.trained), len(work.evaluated)) == (1, 2)
    assert again == result == Result.read(cell.folder)


def test_more_episodes_or_variants_are_played_without_training_again(cell: Cell, work: Work) -> None:
    run_cell(cell.folder)
    replace(cell, variants=["Demo", "TestJitter", "TestAll"]).write()
    run_cell(cell.folder)
    assert [e.variants for e in work.evaluated[2:]] == [["TestAll"]]
    replace(cell, episodes=4).write()
    run_cell(cell.folder)
    assert [(e.variants, e.episodes) for e in work.evaluated[3:]] == [(["Demo"], 4), (["TestJitter"], 4)]
    fewer = replace(cell, episodes=2, test_seed=501)
    assert unfinished_variants(fewer) == [], "episodes that were played are there"
    assert unfinished_variants(replace(cell, test_seed=502, episodes=3)) == ["Demo", "TestJitter"]
    assert len(work.trained) == 1


def test_a_failure_becomes_a_sentence_and_the_next_call_begins_anew(cell: Cell, work: Work) -> None:
    work.error = UserError("training diverged: the loss of step 3 is nan")
    assert run_cell(cell.folder).failure == "training diverged: the loss of step 3 is nan"
    assert Result.read(cell.folder).failure == "training diverged: the loss of step 3 is nan"
    assert not is_finished(cell)
    (cell.folder / "run" / "unfinished").mkdir(parents=True)
    work.error = ValueError("first line\nsecond line")
    assert run_cell(cell.folder).failure == "ValueError: first line"
    work.error = None
    assert run_cell(cell.folder).failure is None
    assert is_finished(cell)
    assert [config.resume for config in work.trained] == [False] * 3, "went on with what had failed"


def test_an_interrupted_training_run_is_gone_on_with(cell: Cell, work: Work) -> None:
    work.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell.folder)
    assert not is_finished(cell)
    assert Result.read(cell.folder) == Result()
    (cell.folder / "run" / "unfinished").mkdir(parents=True)
    work.interrupted = False
    run_cell(cell.folder)
    assert [(config.resume, config.overwrite) for config in work.trained] == [(False, True), (True, False)]
    assert is_finished(cell)


def test_what_changed_since_the_benchmark_began_is_not_trained_under_the_old_name(
    cell: Cell, work: Work
) -> None:
    Path(cell.demos[0]).write_bytes(b"other demonstrations")
    failure = run_cell(cell.folder).failure
    assert failure is not None
    assert failure.startswith("encoder, demonstrations or settings changed")
    assert not work.trained


def test_a_film_that_fails_keeps_the_scores(cell: Cell, work: Work) -> None:
    def broken(folder: Path) -> None:
        raise OSError("the disk is full")

    assert run_cell(cell.folder, broken).failure == "OSError: the disk is full"
    assert read_scores(cell.folder, "Demo")
    assert run_cell(cell.folder, lambda folder: None).failure is None
    assert len(work.trained) == 1


def test_two_processes_are_never_at_the_same_cell(
    cell: Cell, work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(cell, video=False).write()
    with open(cell.folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is at the cell"):
            run_cell(cell.folder)
        assert run(str(cell.folder)) == 2
        assert "another process is at the cell" in capsys.readouterr().err
    assert not work.trained
    assert run(str(cell.folder)) == 0


def test_a_folder_without_a_cell(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no cell\.json"):
        run_cell(tmp_path)


@pytest.mark.parametrize(
    "method",
    ["mlp:steps=4,batch=8,policy.hidden=8,shifted_copies=0", "cnn:steps=2,batch=4,policy.width=0.05"],
)
def test_a_real_cell(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=6, gamma=0.5))
    encoder.save_pretrained(tmp_path / "encoder")
    demos = str(tmp_path / "demos.hdf5")
    write_demonstrations(demos, record_demonstrations("MoveToRegion", 2, seed=0))
    pixels = method.startswith("cnn")
    cell = written(
        Cell(
            "MoveToRegion", "protocol", method, "" if pixels else str(tmp_path / "encoder"), 1, [demos], "",
            tmp_path / "cell", ["Demo", "TestJitter"], 2, 1_000_000, 1, True,
        )
    )  # fmt: skip
    assert run(str(cell.folder)) == 0
    assert is_finished(cell)
    result = Result.read(cell.folder)
    assert sum(result.training_seconds.values()) > 0
    assert result.cpu_seconds["evaluation"] > 0
    assert result.machine["cores"].isdecimal()
    # The scores are those that evaluating the policy in the folder gives, and the film shows one of them.
    scores = evaluate(load_policy(cell.folder / "run"), ["TestJitter"], episodes=2)["TestJitter"].scores
    assert tuple(read_scores(cell.folder, "TestJitter").values()) == scores
    if can_write_video():
        assert (cell.folder / "episode.webm").stat().st_size > 1000
