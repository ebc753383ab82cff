"""Pretraining end to end on a few frames: what it writes, stopping and repeating it, and bad input."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet, write_demonstrations
from mint_rl.errors import UserError
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.training.pretrain import PretrainConfig, PretrainResult, pretrain
from mint_rl.training.pretrain_data import split_videos
from mint_rl.training.pretrain_loop import learning_rate


def _moving_square(seed: int, length: int = 8, side: int = 48) -> np.ndarray:
    """A bright square that wanders over a grey ground."""
    rng = np.random.default_rng(seed)
    place, step = rng.uniform(5, side - 15, 2), rng.uniform(-2, 2, 2)
    frames = np.full((length, side, side, 3), 200, np.uint8)
    for t in range(length):
        y, x = np.clip(place + t * step, 0, side - 10).astype(int)
        frames[t, y : y + 9, x : x + 9] = (220, 40, 30)
    return frames


@pytest.fixture
def file(tmp_path: Path) -> Path:
    demos = []
    for seed in range(3):
        images = _moving_square(seed)
        actions = np.zeros(len(images), np.int64)
        demos.append(Demonstration(images, actions, actions, score=1.0))
    path = tmp_path / "videos.hdf5"
    write_demonstrations(path, DemonstrationSet("magical/MoveToCorner-Demo-v0", demos, {}, "a test"))
    return path


def _config(file: Path, out: Path, **changes: object) -> PretrainConfig:
    settings = {
        "steps": 6,
        "pairs": 3,
        "warmup": 2,
        "num_keypoints": 5,
        "log_every": 2,
        "save_every": 4,
        "shift": 2,
    }
    return PretrainConfig(data=[str(file)], out=str(out), **{**settings, **changes})  # type: ignore[arg-type]


def _quiet(config: PretrainConfig, **more: object) -> PretrainResult:
    return pretrain(config, say=lambda line: None, **more)  # type: ignore[arg-type]


def _weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_run_leaves_an_encoder_and_its_record(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "run"
    result = pretrain(_config(file, out, gate="0.1", inference_gamma=9.0, window=0.3), say=said.append)
    assert (result.steps, result.interrupted) == (6, False)
    encoder = load_encoder(out)
    assert encoder.config.image_size == (48, 48)
    assert (encoder.config.gamma, encoder.config.gate, encoder.config.window) == (9.0, 0.1, 0.3)
    assert encoder.encode(_moving_square(9)).shape == (8, 5, 3)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log] == [2, 4, 6]
    assert all(np.isfinite(list(record.values())).all() for record in log)
    assert list((out / "tensorboard").iterdir())
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["steps"] == 6
    assert {"total", "masked_entropy", "residual", "active"} <= metrics["validation"].keys()
    assert json.loads((out / "pretrain.json").read_text())["num_keypoints"] == 5
    assert not (out / "unfinished").exists()
    assert any(str(out) in line for line in said)


def test_the_loss_falls(file: Path, tmp_path: Path) -> None:
    totals = []
    config = _config(file, tmp_path / "run", steps=60, log_every=10, gamma=4.0)
    pretrain(config, [lambda step, values: totals.append(values["total"])], say=lambda line: None)
    assert totals[-1] < 0.7 * totals[0]


def test_the_same_configuration_gives_the_same_encoder(file: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        _quiet(_config(file, tmp_path / name, seed=seed))
    assert _weights(tmp_path / "a") == _weights(tmp_path / "b")
    assert _weights(tmp_path / "a") != _weights(tmp_path / "c")


@pytest.mark.parametrize("stop_after", [3, 4])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(file: Path, tmp_path: Path, stop_after: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    _quiet(_config(file, whole))
    said: list[str] = []
    steps = 0

    def press_ctrl_c(step: int, values: dict[str, float]) -> None:
        nonlocal steps
        steps = step
        if step >= stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    config = _config(file, parts, log_every=1)
    stopped = pretrain(config, [press_ctrl_c], say=said.append)
    assert stopped.interrupted
    assert stopped.steps == steps == stop_after
    assert any("resume=true" in line for line in said)
    load_encoder(parts)  # what was trained until then
    resumed = _quiet(dataclasses.replace(config, resume=True))
    assert (resumed.steps, resumed.interrupted) == (6, False)
    assert _weights(parts) == _weights(whole)
    log = [json.loads(line)["step"] for line in (parts / "log.jsonl").read_text().splitlines()]
    assert log == [1, 2, 3, 4, 5, 6]
    with pytest.raises(UserError, match="no unfinished run"):
        _quiet(dataclasses.replace(config, resume=True))


def test_a_run_is_resumed_only_with_its_own_settings_and_frames(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = _config(file, out, log_every=1)
    pretrain(config, [lambda step, values: os.kill(os.getpid(), signal.SIGINT)], say=lambda line: None)
    with pytest.raises(UserError, match="learning_rate"):
        _quiet(_config(file, out, log_every=1, resume=True, learning_rate=1.0))
    video = _moving_square(7)
    actions = np.zeros(len(video), np.int64)
    other = [Demonstration(video, actions, actions, score=1.0)] * 3
    write_demonstrations(file, DemonstrationSet("magical/MoveToCorner-Demo-v0", other, {}, "a test"))
    with pytest.raises(UserError, match="other frames"):
        _quiet(dataclasses.replace(config, resume=True))
    tensors = out / "unfinished" / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-10])
    with pytest.raises(UserError, match="do not belong together"):
        _quiet(dataclasses.replace(config, resume=True))


def test_an_earlier_run_is_not_overwritten_unasked(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _quiet(_config(file, out, steps=2))
    before = _weights(out)
    with pytest.raises(UserError, match="overwrite=true"):
        _quiet(_config(file, out, seed=5))
    assert _weights(out) == before
    _quiet(_config(file, out, seed=5, overwrite=True))
    assert _weights(out) != before


def test_what_goes_wrong_is_said_once(file: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = _config(file, tmp_path / "run", steps=254, pairs=1, gamma=1000.0, log_every=2, num_keypoints=2)
    result = pretrain(config, say=said.append)
    spoken = [line for line in said if line.startswith("warning")]
    assert len(spoken) == len(result.warnings)
    assert sum("below gamma" in line for line in spoken) == 1
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["warnings"] == result.warnings


def test_global_random_state_is_left_alone(file: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    _quiet(_config(file, tmp_path / "run", steps=1))
    assert torch.equal(torch.rand(2), expected)


def test_learning_rate_warms_up_and_falls() -> None:
    config = PretrainConfig(steps=1000, warmup=100, learning_rate=1.0, final_rate=0.02)
    rates = [learning_rate(step, config) for step in range(1, 1001)]
    assert rates[0] == pytest.approx(0.01, rel=1e-3)
    assert max(rates) == pytest.approx(rates[99])
    assert rates[499] == pytest.approx(0.51)
    assert rates[-1] == pytest.approx(0.02)


def test_videos_are_held_out_whole_and_never_all() -> None:
    videos = [np.full((2, 1, 1, 3), number, np.uint8) for number in range(10)]
    training, validation = split_videos(videos, 0.2, seed=0)
    assert (len(training), len(validation)) == (8, 2)
    assert sorted(int(v.flat[0]) for v in training + validation) == list(range(10))
    assert split_videos(videos[:1], 0.5, 0)[1] == []
    assert split_videos(videos, 0.0, 0)[1] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "'steps' must be at least 1"),
        ({"preprocessing": "sharp"}, "unknown preprocessing 'sharp'"),
        ({"region": 4}, "'region'"),
        ({"validation_share": 1.0}, "'validation_share'"),
        ({"learning_rate": 0.0}, "'learning_rate'"),
        ({"window": 0.0}, "'window'"),
        ({"gate": "high"}, "none, auto or a number"),
        ({"resume": True}, "give --out"),
        ({"resume": True, "overwrite": True, "out": "x"}, "contradict"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        PretrainConfig(**changes)  # type: ignore[arg-type]


def test_folders_and_files_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    with pytest.raises(UserError, match="cannot write to the folder"):
        _quiet(_config(file, blocked))
    with pytest.raises(UserError, match=r"nothing\.hdf5"):
        _quiet(_config(tmp_path / "nothing.hdf5", tmp_path / "run"))
    assert not (tmp_path / "run" / "model.safetensors").exists()
    with pytest.raises(UserError, match=r"pretrain\.json"):
        _quiet(_config(file, tmp_path / "never", resume=True))
