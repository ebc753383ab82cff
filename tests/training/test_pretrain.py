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
from mint_rl.data.videos import VideoConfig, open_videos
from mint_rl.errors import UserError
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.training.configuration import load_config
from mint_rl.training.pretrain import PretrainConfig, PretrainResult, pretrain
from mint_rl.training.pretrain_data import split_videos
from mint_rl.training.pretrain_loop import PretrainingRun, learning_rate
from mint_rl.viz.video import write_video


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


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three videos, one of images and a broken file."""
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    folder = tmp_path / "clips"
    folder.mkdir()
    for seed in range(3):
        write_video(folder / f"{seed}.mp4", _moving_square(seed), fps=10)
    (folder / "images").mkdir()
    for number, frame in enumerate(_moving_square(3)):
        Image.fromarray(frame).save(folder / "images" / f"{number}.png")
    (folder / "broken.mp4").write_bytes(b"not a video")
    return folder


def test_a_folder_of_videos_is_trained_on(clips: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = pretrain(_config(clips, tmp_path / "run", size="32x48"), say=said.append)
    assert result.encoder.config.image_size == (32, 48)
    assert result.examples.shape == (8, 32, 48, 3)
    assert sum("1 of 5 videos are skipped" in line for line in said) == 1
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["videos"] == 4
    assert list(metrics["skipped_videos"]) == [str(clips / "broken.mp4")]
    assert metrics["cpu_seconds"]["waiting"] < 5
    with pytest.raises(UserError, match=r"broken.mp4' is damaged"):
        _quiet(_config(clips, tmp_path / "other", broken="fail"))


def test_videos_on_disk_give_the_encoder_that_they_give_in_memory(clips: Path, tmp_path: Path) -> None:
    stored = open_videos(VideoConfig(data=[str(clips)]), say=lambda line: None)
    demos = [
        Demonstration(np.array(video[:]), np.zeros(len(video), int), np.zeros(len(video), int), score=1.0)
        for video in stored
    ]
    file = tmp_path / "videos.hdf5"
    write_demonstrations(file, DemonstrationSet("magical/MoveToCorner-Demo-v0", demos))
    _quiet(_config(clips, tmp_path / "disk"))
    _quiet(_config(file, tmp_path / "memory"))
    assert _weights(tmp_path / "disk") == _weights(tmp_path / "memory")


def test_a_run_on_videos_goes_on_after_a_stop_even_from_another_cache(clips: Path, tmp_path: Path) -> None:
    _quiet(_config(clips, tmp_path / "whole"))
    config = _config(clips, tmp_path / "parts", log_every=1)
    pretrain(config, [lambda step, values: os.kill(os.getpid(), signal.SIGINT)], say=lambda line: None)
    resumed = _quiet(dataclasses.replace(config, resume=True, cache=str(tmp_path / "other-cache")))
    assert (resumed.steps, resumed.interrupted) == (6, False)
    assert _weights(tmp_path / "parts") == _weights(tmp_path / "whole")


def test_frames_that_vanish_while_training_end_the_run_in_a_sentence(clips: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def clear(step: int, values: dict[str, float]) -> None:
        for path in cache.iterdir():
            path.unlink()

    with pytest.raises(UserError, match="can no longer be read"):
        pretrain(_config(clips, tmp_path / "run", cache=str(cache), steps=20), [clear], say=lambda line: None)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_the_step_with_the_lowest_held_out_loss_is_kept(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 1.0, 3.0, 2.0])  # of steps 2, 4 and 6; then of the encoder that is kept

    def measured(*_: object) -> dict[str, float]:
        return {"total": next(losses)}

    seen: dict[int, torch.Tensor] = {}
    monkeypatch.setattr("mint_rl.training.pretrain_loop.validate", measured)
    monkeypatch.setattr("mint_rl.training.pretrain.validate", measured)
    run: list[PretrainingRun] = []
    original = PretrainingRun.watch

    def watch(self: PretrainingRun) -> None:
        original(self)
        run.append(self)
        seen[self.done] = self.encoder.network[0].weight.detach().clone()

    monkeypatch.setattr(PretrainingRun, "watch", watch)
    result = _quiet(_config(file, tmp_path / "a", validate_every=2))
    assert list(seen) == [2, 4, 6]
    assert result.metrics["kept_step"] == 4
    assert torch.equal(load_encoder(tmp_path / "a").network[0].weight, seen[4])
    records = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [record["valid_total"] for record in records] == [5.0, 1.0, 3.0]


def test_the_best_step_survives_an_interruption(file: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # A learning rate that ruins what the first steps reached, so that the best step is an early one.
    settings = {"learning_rate": 0.5, "warmup": 0, "validate_every": 1, "log_every": 1, "weight_decay": 0.0}
    kept = _quiet(_config(file, whole, **settings)).metrics["kept_step"]

    def press_ctrl_c(step: int, values: dict[str, float]) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    config = _config(file, parts, **settings)
    assert pretrain(config, [press_ctrl_c], say=lambda line: None).interrupted
    resumed = _quiet(dataclasses.replace(config, resume=True))
    assert resumed.metrics["kept_step"] == kept
    assert _weights(parts) == _weights(whole)


def test_bfloat16_trains_the_network_and_keeps_places_exact(file: Path, tmp_path: Path) -> None:
    full = _quiet(_config(file, tmp_path / "full", steps=1))
    half = _quiet(_config(file, tmp_path / "half", steps=1, precision="bfloat16"))
    assert half.encoder.network[0].weight.dtype == torch.float32
    assert half.metrics["training"]["total"] == pytest.approx(full.metrics["training"]["total"], rel=0.05)
    assert half.metrics["training"]["total"] != full.metrics["training"]["total"]


def test_methods_are_the_papers_variants() -> None:
    mint, paper, bare, single = (
        load_config("pretrain", [f"method={name}"])
        for name in ("mint", "mint-paper", "mint-no-regularisation", "mint-no-temporal")
    )
    assert mint == PretrainConfig()
    assert (paper.loss.sigma, paper.loss.tau, paper.loss.movement, paper.learning_rate) == (
        7.0,
        0.3,
        1.0,
        1e-3,
    )
    assert (paper.turns, paper.apart, paper.window, paper.gate) == (False, 0.0, None, "none")
    assert (bare.loss.movement, bare.loss.lambda_overlap, bare.loss.lambda_status) == (0.0, 0.0, 0.0)
    assert (single.loss.lambda_mce, single.loss.lambda_it) == (0.0, 0.0)
    changed = load_config("pretrain", ["loss.sigma=5", "method=mint-paper"])
    assert (changed.method, changed.loss.sigma) == ("mint-paper", 5.0)
    with pytest.raises(UserError, match="unknown method 'mint-papr'"):
        load_config("pretrain", ["method=mint-papr"])
