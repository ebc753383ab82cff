"""Pretraining on frames of an environment: collected into the run, and read from there when it goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector.utils import batch_space

from mint_rl.cli import main
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.policies.base import PolicyContext
from mint_rl.policies.checkpoint import save_policy
from mint_rl.policies.environment import environment_of
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.training.pretrain import pretrain
from mint_rl.training.pretrain_config import PretrainConfig

ENV = "magical/MoveToRegion-Demo-v0"
WORDS = ["--frames", "60", "--size", "24x24", "pairs=2", "warmup=1", "num_keypoints=3", "shift=1"]


def small(out: Path, **changes: Any) -> PretrainConfig:
    settings: dict[str, Any] = {
        "frames": 60,
        "size": "24x24",
        "steps": 4,
        "pairs": 2,
        "warmup": 1,
        "shift": 1,
    }
    settings |= {"num_keypoints": 3, "log_every": 1, "cache": str(out.parent / "cache")}
    return PretrainConfig(env=ENV, out=str(out), **{**settings, **changes})


@pytest.fixture
def policy() -> MLPKeypointPolicy:
    """Untrained; it reads the keypoints of an untrained encoder, two frames of them."""
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=4, gamma=0.5)).eval()
    space = batch_space(keypoint_space(4, encoder.descriptor_dim), 2)
    made = MLPKeypointPolicy(space, gym.spaces.Discrete(18), config=MLPConfig(hidden=8))
    made.context = PolicyContext(ENV, {}, encoder, "tiny")
    return made


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["pretrain", "--env", "MoveToRegion", "--steps", "2", "--out", str(out), *WORDS]) == 0
    assert "collecting frames of MoveToRegion" in capsys.readouterr().out
    assert load_encoder(out).config.image_size == (24, 24)
    episodes = sorted(path.name for path in (out / "frames").iterdir())
    assert episodes == ["episode-000", "episode-001"]  # of 40 frames each
    assert len(list((out / "frames" / "episode-001").glob("*.png"))) == 40
    assert json.loads((out / "pretrain.json").read_text())["env"] == "MoveToRegion"
    # The frames serve another run.
    again = ["--data", str(out / "frames"), "--cache", str(tmp_path / "cache")]
    assert main(["pretrain", *again, "--steps", "1", "--out", str(tmp_path / "again"), *WORDS[4:]]) == 0


def test_a_stopped_run_goes_on_with_its_own_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pretrain(small(whole), say=lambda line: None)
    stop = [lambda step, values: os.kill(os.getpid(), signal.SIGINT)]
    assert pretrain(small(parts), stop, say=lambda line: None).interrupted

    def collected_again(*_: Any, **__: Any) -> Any:
        raise AssertionError("the frames were collected again")

    with monkeypatch.context() as patch:
        patch.setattr("mint_rl.envs.collecting.collect_videos", collected_again)
        assert pretrain(small(parts, resume=True), say=lambda line: None).steps == 4
    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole, parts)]
    assert weights[0] == weights[1]


def test_frames_that_were_lost_are_collected_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    pretrain(small(out), [lambda step, values: os.kill(os.getpid(), signal.SIGINT)], say=lambda line: None)
    shutil.rmtree(out / "frames")
    assert pretrain(small(out, resume=True), say=lambda line: None).steps == 4


def test_a_cloned_policy_can_act(tmp_path: Path, policy: MLPKeypointPolicy) -> None:
    save_policy(policy, tmp_path / "clone" / "policy")
    frames = []
    for name, changes in {"a": {}, "b": {}, "random": {"behaviour": "random"}}.items():
        config = small(tmp_path / name, steps=1, **{"behaviour": str(tmp_path / "clone"), **changes})
        pretrain(config, say=lambda line: None)
        frames.append([path.read_bytes() for path in sorted((tmp_path / name / "frames").rglob("*.png"))])
    assert frames[0] == frames[1]  # its actions are drawn by the seed
    assert frames[0] != frames[2]


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data and env contradict"):
        PretrainConfig(env=ENV, data=["x"])
    with pytest.raises(UserError, match="'frames' must be at least 2"):
        PretrainConfig(env=ENV, frames=1)
    with pytest.raises(UserError, match="there is no policy folder 'nowhere'"):
        pretrain(small(tmp_path / "a", behaviour="nowhere"), say=lambda line: None)


def test_a_policy_finds_its_environment_again(policy: MLPKeypointPolicy) -> None:
    env = environment_of(policy, reward="score")
    assert env.observation_space == policy.observation_space
    observation, _ = env.reset(seed=0)
    assert policy.predict(observation)[0].shape == ()
    assert env.unwrapped.reward == "score"  # type: ignore[attr-defined]
    assert policy.context is not None
    assert policy.context.encoder is not None
    wanted = policy.context.encoder.encode(gym.make(ENV).reset(seed=0)[0], descriptors=True)
    np.testing.assert_allclose(observation[-1], wanted, atol=1e-6)


def test_an_environment_that_does_not_fit_a_policy(policy: MLPKeypointPolicy) -> None:
    fewer = gym.wrappers.TransformAction(gym.make(ENV), lambda action: action, gym.spaces.Discrete(3))
    with pytest.raises(
        UserError, match=r"trained for actions Discrete\(18\), but this environment has Discrete\(3\)"
    ):
        environment_of(policy, fewer)
    policy.context = None
    with pytest.raises(UserError, match="what it was trained for"):
        environment_of(policy)
