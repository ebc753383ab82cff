"""KeypointObs: a wrapper that composes, is rebuilt from its specification, and explains what it needs."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs.keypoint_obs import KeypointObs
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig

ENV = "magical/MoveToCorner-Demo-v0"
K, D = 6, 12


@pytest.fixture(scope="module")
def encoder() -> KeypointEncoder:
    torch.manual_seed(0)
    return KeypointEncoder(EncoderConfig(num_keypoints=K, gamma=0.5))


@pytest.fixture(scope="module")
def folder(encoder: KeypointEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("encoder") / "small"
    encoder.save_pretrained(target)
    return target


@pytest.mark.parametrize("descriptors", [False, True])
def test_observation_is_what_the_encoder_finds(encoder: KeypointEncoder, descriptors: bool) -> None:
    bare, wrapped = gym.make(ENV), KeypointObs(gym.make(ENV), encoder, descriptors)
    assert wrapped.observation_space.shape == (K, 3 + (D if descriptors else 0))
    assert wrapped.observation_space.dtype == np.float32
    for step in range(4):
        if step == 0:
            frame, seen = bare.reset(seed=3)[0], wrapped.reset(seed=3)[0]
        else:
            frame, seen = bare.step(1)[0], wrapped.step(1)[0]
        assert wrapped.observation_space.contains(seen)
        np.testing.assert_allclose(seen, encoder.encode(frame, descriptors=descriptors), atol=1e-6)


def test_bounds_are_honest(encoder: KeypointEncoder) -> None:
    space = KeypointObs(gym.make(ENV), encoder, descriptors=True).observation_space
    assert isinstance(space, gym.spaces.Box)
    assert (space.low[:, :3] == 0).all()
    assert (space.high[:, :3] == 1).all()
    assert np.isneginf(space.low[:, 3:]).all()
    assert np.isposinf(space.high[:, 3:]).all()


def test_composes_with_frame_stack(encoder: KeypointEncoder) -> None:
    env = gym.wrappers.FrameStackObservation(KeypointObs(gym.make(ENV), encoder, descriptors=True), 4)
    first, _ = env.reset(seed=0)
    assert first.shape == (4, K, 3 + D)
    np.testing.assert_array_equal(first, np.repeat(first[-1:], 4, axis=0))
    second = env.step(1)[0]
    np.testing.assert_array_equal(second[:-1], first[1:])


@pytest.mark.parametrize("descriptors", [False, True])
def test_specification_rebuilds_it(folder: Path, descriptors: bool) -> None:
    env = gym.wrappers.FrameStackObservation(KeypointObs(gym.make(ENV), str(folder), descriptors), 2)
    wanted = env.reset(seed=1)[0]
    assert env.spec is not None
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json())):
        rebuilt = gym.make(spec)
        assert rebuilt.observation_space == env.observation_space
        np.testing.assert_array_equal(rebuilt.reset(seed=1)[0], wanted)


def test_specification_records_an_absolute_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    spec = KeypointObs(gym.make(ENV), folder.name).spec
    assert spec is not None
    assert json.loads(spec.to_json())["additional_wrappers"][-1]["kwargs"]["encoder"] == str(folder.resolve())


def test_specification_of_an_encoder_object_says_what_is_missing(encoder: KeypointEncoder) -> None:
    spec = KeypointObs(gym.make(ENV), encoder).spec
    assert spec is not None
    with pytest.raises(UserError, match="save_pretrained"):
        gym.make(EnvSpec.from_json(spec.to_json()))


def test_encoder_stays_frozen_and_in_evaluation_mode(encoder: KeypointEncoder) -> None:
    env = KeypointObs(gym.make(ENV), encoder)
    before = env.reset(seed=0)[0]
    encoder.train()  # someone else's training loop must not change what is observed
    after = env.reset(seed=0)[0]
    np.testing.assert_array_equal(before, after)
    assert not any(parameter.requires_grad for parameter in env.encoder.parameters())
    encoder.eval()


def test_frames_of_another_size_are_resized(encoder: KeypointEncoder) -> None:
    small, native = (KeypointObs(gym.make(ENV, resolution=size), encoder) for size in (96, 384))
    # 96 × 96 is the area average of 384 × 384, so both see the same picture but for rounding.
    np.testing.assert_allclose(small.reset(seed=0)[0], native.reset(seed=0)[0], atol=5e-3)


def test_passes_both_environment_checkers(folder: Path) -> None:
    with warnings.catch_warnings():
        # gymnasium wants the unwrapped environment; SB3 finds a 2-D Box unusual for its own networks.
        warnings.simplefilter("ignore")
        check_env(KeypointObs(gym.make(ENV), str(folder), descriptors=True), skip_render_check=True)
        sb3_check_env(KeypointObs(gym.make(ENV), str(folder), descriptors=True))


def test_vector_environments(folder: Path) -> None:
    single = KeypointObs(gym.make(ENV), str(folder)).reset(seed=0)[0]
    envs = gym.vector.SyncVectorEnv([lambda: KeypointObs(gym.make(ENV), str(folder))] * 2)
    observations, _ = envs.reset(seed=[0, 1])
    assert observations.shape == (2, K, 3)
    np.testing.assert_array_equal(observations[0], single)
    envs.close()


def test_can_be_pickled(folder: Path) -> None:
    env = KeypointObs(gym.make(ENV), str(folder))
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(copy.step(1)[0], env.step(1)[0])


class Fake(gym.Env[object, int]):
    """An environment with a given observation space."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, space: gym.Space[object]) -> None:
        self.observation_space = space


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (gym.spaces.Discrete(3), "gives observations of type Discrete: make it observe its pictures"),
        (gym.spaces.Box(-1, 1, (4,), np.float32), r"gives float32 arrays of shape \(4,\)"),
        (gym.spaces.Dict({"image": gym.spaces.Discrete(2)}), "of type Dict"),
        (gym.spaces.Box(0, 1, (96, 96, 3), np.float32), r"gives float32 arrays .*: convert it first"),
        (gym.spaces.Box(0, 255, (96, 96, 1), np.uint8), r"shape \(96, 96, 1\): convert it first"),
        (gym.spaces.Box(0, 255, (4, 96, 96, 3), np.uint8), "KeypointObs first and with FrameStack"),
    ],
)
def test_environments_without_images_get_one_sentence(
    encoder: KeypointEncoder, space: gym.Space[object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        KeypointObs(Fake(space), encoder)
    assert "KeypointObs needs uint8 images of shape (height, width, 3), but 'Fake' gives" in str(caught.value)


def test_unknown_encoder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown encoder 'magicl'"):
        KeypointObs(gym.make(ENV), "magicl")
    with pytest.raises(UserError, match="no encoder folder"):
        KeypointObs(gym.make(ENV), str(tmp_path / "nothing"))
