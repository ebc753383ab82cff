"""Every method through the same loop: keypoints follow what moves; the command stops and goes on."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import shutil
import signal
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mint_rl.cli import main
from mint_rl.data.demonstrations import Demonstration, DemonstrationSet, write_demonstrations
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.keypoints.method import Clips
from mint_rl.keypoints.methods import METHODS
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.training.configuration import group_choices, load_config, settings
from mint_rl.training.pretrain import PretrainConfig, PretrainResult, pretrain

RIVALS = ("transporter", "transporter-modified", "video-structure")
SIDE, RADIUS = 48, 5
PAGE = Path(__file__).parents[2] / "docs" / "methods.md"


def _disc(seed: int, length: int = 30) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A red disc that wanders over the same texture in all videos, and where it is: (T, 2) x, y."""
    texture = np.random.default_rng(99).normal(180, 25, (SIDE // 4, SIDE // 4, 3)).repeat(4, 0).repeat(4, 1)
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    place, step = rng.uniform(8, SIDE - 9, 2), 2.5 * np.array([np.cos(angle), np.sin(angle)])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    frames, places = [], []
    for _ in range(length):
        beyond = abs(place + step - (SIDE - 1) / 2) > (SIDE - 1) / 2 - RADIUS - 1
        step = np.where(beyond, -step, step)
        place = place + step
        frame = texture.copy()
        frame[(rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= RADIUS**2] = (220, 40, 30)
        frames.append(frame.clip(0, 255).astype(np.uint8))
        places.append(place[::-1] / (SIDE - 1))
    return np.stack(frames), np.stack(places)


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("discs") / "discs.hdf5"
    demos = [
        Demonstration(video, np.zeros(len(video), int), np.zeros(len(video), int), score=1.0)
        for video in (_disc(seed)[0] for seed in range(6))
    ]
    write_demonstrations(path, DemonstrationSet("magical/MoveToCorner-Demo-v0", demos, {}, "a test"))
    return path


def _config(method: str, data: Path, out: Path, *more: str) -> PretrainConfig:
    config = load_config(
        "pretrain",
        [f"method={method}", f"data=['{data}']", f"out='{out}'", "num_keypoints=4", *more],
    )
    assert isinstance(config, PretrainConfig)
    return config


def _quiet(config: PretrainConfig, **more: Any) -> PretrainResult:
    return pretrain(config, say=lambda line: None, **more)


def _tracking(points: NDArray[np.float32], places: NDArray[np.float64]) -> list[tuple[float, float, float]]:
    """Of each keypoint: mean distance to the disc in pixels, correlation of their ways, share active."""
    found = []
    for keypoint in range(points.shape[1]):
        path = points[:, keypoint, :2]
        distance = np.linalg.norm(path - places, axis=1).mean() * (SIDE - 1)
        ways = [(way - way.mean(0)).ravel() for way in (path, places)]
        correlation = float(np.corrcoef(*ways)[0, 1])
        found.append((distance, correlation, float((points[:, keypoint, 2] > 0.5).mean())))
    return found


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("transporter", ["steps=200", "pairs=4", "loss.width=8", "learning_rate=4e-3"]),
        ("transporter-modified", ["steps=200", "pairs=4", "loss.width=8", "learning_rate=4e-3"]),
        (
            "video-structure",
            ["steps=200", "pairs=3", "loss.frames=4", "loss.gap=4", "loss.width=4", "learning_rate=4e-3"],
        ),
    ],
)
def test_a_keypoint_follows_what_moves(discs: Path, tmp_path: Path, method: str, more: list[str]) -> None:
    result = _quiet(_config(method, discs, tmp_path / "run", "validate_every=50", *more))
    assert result.metrics["validation"]["total"] < 1.5 * result.metrics["training"]["total"]
    frames, places = _disc(50)
    tracking = _tracking(load_encoder(tmp_path / "run").encode(frames), places)
    assert any(distance < RADIUS and path > 0.9 and on > 0.9 for distance, path, on in tracking), tracking


@pytest.mark.parametrize("method", RIVALS)
def test_the_command_trains_stops_and_goes_on(
    discs: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("steps=6", "pairs=2", "validate_every=2", "save_every=3", "log_every=1")
    _quiet(_config(method, discs, tmp_path / "whole", *small))

    def press_ctrl_c(step: int, values: dict[str, float]) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    parts = tmp_path / "parts"
    assert _quiet(_config(method, discs, parts, *small), callbacks=[press_ctrl_c]).interrupted
    words = ["--method", method, "--data", str(discs), "--out", str(parts), "num_keypoints=4", *small]
    assert main(["pretrain", *words, "--resume"]) == 0, capsys.readouterr()
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", parts)]
    assert weights[0] == weights[1]
    assert json.loads((parts / "pretrain.json").read_text())["method"] == method
    assert len((parts / "log.jsonl").read_text().splitlines()) == 6
    assert (parts / "information.png").stat().st_size > 0
    # What comes out is an encoder like any other, and nothing but an encoder.
    encoder = load_with_settings(f"{parts}:gamma=0.4,descriptors=maps4")
    assert encoder.encode(_disc(1)[0][0], descriptors=True).shape == (4, 3 + encoder.descriptor_dim)
    mint = _config("mint", discs, tmp_path / "mint", "steps=1", "pairs=2")
    assert _quiet(mint).encoder.state_dict().keys() == encoder.state_dict().keys()


def test_a_rival_takes_the_same_settings_and_its_own() -> None:
    keys = {setting.key: setting.default for setting in settings("pretrain", "transporter-modified")}
    assert (keys["loss.local_features"], keys["gate"], keys["loss.gap"]) == (True, "none", 10)
    assert "loss.kappa" not in keys
    assert "loss.kappa" in {setting.key for setting in settings("pretrain")}
    for method in group_choices("method"):
        assert load_config("pretrain", [f"method={method}"]).method == method
    changed = load_config("pretrain", ["loss.gap=3", "method=transporter-modified"])
    assert (changed.loss.gap, changed.loss.local_features, changed.weight_decay) == (3, True, 0.0)
    with pytest.raises(UserError, match=r"unknown setting 'loss\.kappa'"):
        load_config("pretrain", ["method=transporter", "loss.kappa=0.5"])
    with pytest.raises(UserError, match=r"loss\.width"):
        load_config("pretrain", ["method=video-structure", "loss.width=0"])
    with pytest.raises(UserError, match=r"'transporter' compares the frames .* set apart=0"):
        load_config("pretrain", ["method=transporter", "apart=0.5"])


def test_videos_shorter_than_a_clip_are_told_of(discs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 30 frame\(s\); a clip needs 31"):
        _quiet(_config("video-structure", discs, tmp_path / "run", "loss.frames=31"))


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """What the page on methods defines, as the module that it would be."""
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    (code, *_) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), module.__dict__)
    return module


def test_the_method_of_the_documentation_does_what_it_says(example: types.ModuleType, tmp_path: Path) -> None:
    """Keypoints go to the one bright place of a dark image, from the middle where they begin."""
    frames = np.full((12, SIDE, SIDE, 3), 20, np.uint8)
    frames[:, 28:38, 8:18] = 250
    demos = [Demonstration(frames, np.zeros(12, int), np.zeros(12, int), score=1.0)] * 2
    write_demonstrations(
        tmp_path / "v.hdf5", DemonstrationSet("magical/MoveToCorner-Demo-v0", demos, {}, "a")
    )
    changes: dict[str, Any] = {"steps": 60, "pairs": 2, "warmup": 0, "num_keypoints": 3, "turns": False}
    changes |= {"data": [str(tmp_path / "v.hdf5")], "out": str(tmp_path / "run")}
    changes |= {"apart": 0, "gate": "none"}
    result = _quiet(PretrainConfig(method="bright", loss=example.BrightConfig(sigma=0.15), **changes))
    places = result.encoder.encode(frames[0])[:, :2] * (SIDE - 1)
    assert np.abs(places - [12.5, 32.5]).max() < 6, places
    assert json.loads((tmp_path / "run" / "pretrain.json").read_text())["loss"] == {"sigma": 0.15}


def test_the_command_knows_the_method_of_the_documentation(
    example: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a line in METHODS and the page's file of defaults, and nothing else."""
    monkeypatch.setitem(METHODS, "bright", "example:BrightConfig")
    configs = tmp_path / "bright_configs"
    shutil.copytree(str(importlib.resources.files("mint_rl.configs")), configs)
    (yaml,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (configs / "method" / "bright.yaml").write_text(yaml)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("mint_rl.training.configuration.CONFIGS", "bright_configs")
    config = load_config("pretrain", ["method=bright", "loss.sigma=0.15"])
    assert (config.loss, config.apart) == (example.BrightConfig(sigma=0.15), 0.0)
    assert "loss.sigma" in {setting.key for setting in settings("pretrain", "bright")}


def test_what_a_method_draws_reaches_its_loss_and_is_drawn_alike_after_a_stop(
    example: types.ModuleType, discs: Path, tmp_path: Path
) -> None:
    class Noisy(example.Bright):  # type: ignore[misc, name-defined]
        def extra(self, number: int, rng: np.random.Generator) -> dict[str, torch.Tensor]:
            return {"weight": torch.from_numpy(rng.uniform(0, 2, number)).float()}

        def loss(self, clips: Clips, keypoints: Keypoints) -> dict[str, torch.Tensor]:
            weight = clips.extra["weight"]
            assert weight.shape == clips.frames.shape[:1]
            return {"total": super().loss(clips, keypoints)["total"] * weight.mean(), "weight": weight.mean()}

    class NoisyConfig(example.BrightConfig):  # type: ignore[misc, name-defined]
        def build(self, encoder: KeypointEncoder) -> Noisy:
            return Noisy(encoder, self)

    changes: dict[str, Any] = {"steps": 4, "pairs": 2, "apart": 0, "gate": "none", "log_every": 1}
    changes |= {"method": "noisy", "loss": NoisyConfig(), "data": [str(discs)], "num_keypoints": 3}
    whole = _quiet(PretrainConfig(out=str(tmp_path / "whole"), **changes))

    def press_ctrl_c(step: int, values: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    parts = str(tmp_path / "parts")
    assert _quiet(PretrainConfig(out=parts, **changes), callbacks=[press_ctrl_c]).steps == 1
    resumed = _quiet(PretrainConfig(out=parts, resume=True, **changes))
    logs = [(result.folder / "log.jsonl").read_text().splitlines() for result in (whole, resumed)]
    weights = [[json.loads(line)["weight"] for line in log] for log in logs]
    assert weights[0] == weights[1]
    assert len(set(weights[0])) == 4
    assert resumed.metrics["validation"] == whole.metrics["validation"]
