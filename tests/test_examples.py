"""The examples run as they are, for a few steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig

EXAMPLES = Path(__file__).parents[1] / "examples"
pytest.importorskip("pygame", reason="gymnasium draws these environments with pygame")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("recipe", ["acrobot", "lunar-lander"])
def test_any_environment(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if recipe == "lunar-lander":
        pytest.importorskip("Box2D")
    out = tmp_path / "run"
    picture = load("any_environment").main(
        [recipe, "--steps", "1", "--frames", "20", "--look", "30", "--out", str(out)]
    )
    assert picture.stat().st_size > 5000
    said = capsys.readouterr().out
    assert f"'{picture}' shows them" in said
    assert "pictures with movement" in said
    assert (out / "overlay.png").exists()


def test_ppo_on_keypoints_and_on_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    KeypointEncoder(EncoderConfig(num_keypoints=3, image_size=(24, 24))).save_pretrained(tmp_path)
    example = load("ppo_keypoints_vs_pixels")
    monkeypatch.setattr(
        example, "PPO_OPTIONS", {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "device": "cpu"}
    )
    monkeypatch.setattr(example, "EPISODES", 2)
    example.main(["--steps", "16", "--encoder", str(tmp_path)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["keypoints", "pixels"]
    assert all(float(row[3]) >= 8 for row in rows)  # a pole falls in no fewer steps
