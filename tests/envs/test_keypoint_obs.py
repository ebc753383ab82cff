"""KeypointObs: the same keypoints from every form of image, in every format, and a sentence for the rest."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from picture_envs import ID, SIZE, Pictures
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs.keypoint_formats import keypoint_space
from mint_rl.envs.keypoint_obs import KeypointObs
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig

MAGICAL = "magical/MoveToCorner-Demo-v0"
K, D = 6, 12
# Of every kind of environment and format: how to make one, and how to wrap it.
VIEWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "box": ({}, {}),
    "descriptors": ({}, {"descriptors": True}),
    "dict": ({}, {"format": "dict", "coordinates": "pixels"}),
    "graph": ({}, {"format": "graph", "descriptors": True}),
    "entry": ({"entries": True}, {"format": "dict", "key": "camera"}),
    "entry and pixels": ({"entries": True}, {"format": "dict", "key": "camera", "pixels": True}),
    "grey stack": ({"axes": "THW", "colours": 1}, {"coordinates": "centred"}),
    "colour stack": ({"axes": "TCHW"}, {"format": "dict", "pixels": True}),
    "render": ({"axes": None, "render_mode": "rgb_array"}, {"source": "render"}),
    "render dict": (
        {"axes": None, "render_mode": "rgb_array"},
        {"source": "render", "format": "dict", "pixels": True},
    ),
}


@pytest.fixture(params=VIEWS)
def wrapped(request: pytest.FixtureRequest, folder: str) -> Callable[[], gym.Env[Any, Any]]:
    """Makes wrapped environments of one kind and format."""
    made, view = VIEWS[request.param]
    return lambda: KeypointObs(gym.make(ID, **made), folder, **view)


def _episode(env: gym.Env[Any, Any], seed: int, steps: int = 4) -> list[Any]:
    """The observations of the start of an episode."""
    observations = [env.reset(seed=seed)[0]]
    observations += [env.step(index % 2)[0] for index in range(steps)]
    assert all(env.observation_space.contains(observation) for observation in observations)
    return observations


def test_tracks_begin_anew_where_a_wrapper_resets(tracking: KeypointEncoder) -> None:
    env = KeypointObs(gym.wrappers.Autoreset(gym.make(ID, length=3)), tracking)
    plain = KeypointObs(gym.make(ID, length=3), tracking)
    env.reset(seed=1)
    plain.reset(seed=1)
    for _ in range(3):
        ended = env.step(0)[2]
        plain.step(0)
    assert ended
    np.testing.assert_array_equal(env.step(0)[0], plain.reset()[0])


def test_settings_in_a_word(folder: str) -> None:
    env = KeypointObs(gym.make(ID), f"{folder}:tracks=3,gamma=0.4")
    assert env.observation_space.shape == (3, 3)
    again = gym.make(env.spec)
    assert again.observation_space.shape == (3, 3)
    assert KeypointObs(gym.make(ID), "magical-tracking:tracks=none").observation_space.shape == (60, 3)


def test_gymnasium_checks_it(wrapped: Callable[[], gym.Env[Any, Any]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium wants the unwrapped environment
        check_env(wrapped(), skip_render_check=True)


def test_stable_baselines_checks_it(wrapped: Callable[[], gym.Env[Any, Any]]) -> None:
    env = wrapped()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a 2-D Box is unusual for its own networks
        sb3_check_env(env)
        if isinstance(env.observation_space, gym.spaces.Graph):
            with pytest.raises(UserError, match=r"Stable-Baselines3 cannot take graphs: choose .*'dict'"):
                PPO("MlpPolicy", env)
        else:
            policy = "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
            envs = DummyVecEnv([wrapped] * 2)
            assert PPO(policy, envs, n_steps=4, batch_size=8, n_epochs=1).learn(8).num_timesteps == 8


def test_its_specification_rebuilds_it(wrapped: Callable[[], gym.Env[Any, Any]]) -> None:
    env = wrapped()
    wanted = _episode(env, 3)
    assert env.spec is not None
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json())):
        rebuilt = gym.make(spec)
        assert rebuilt.observation_space == env.observation_space
        assert data_equivalence(_episode(rebuilt, 3), wanted, exact=True)
    many = gym.make_vec(env.spec, num_envs=2)
    first, _ = many.reset(seed=3)
    assert data_equivalence(next(iter(gym.vector.utils.iterate(many.observation_space, first))), wanted[0])


def test_it_is_pickled_and_copied(wrapped: Callable[[], gym.Env[Any, Any]]) -> None:
    env = wrapped()
    env.reset(seed=5)
    env.step(1)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    wanted = [env.step(0)[0], env.reset(seed=6)[0]]
    for twin in twins:
        assert data_equivalence([twin.step(0)[0], twin.reset(seed=6)[0]], wanted, exact=True)


def test_seeds_render_and_close(wrapped: Callable[[], gym.Env[Any, Any]]) -> None:
    env = wrapped()
    assert data_equivalence(_episode(env, 8), _episode(wrapped(), 8), exact=True)
    assert not data_equivalence(_episode(env, 8), _episode(env, 9))
    if env.render_mode is not None:
        np.testing.assert_array_equal(env.render(), env.unwrapped.picture())
    env.close()
    env.close()


@pytest.mark.parametrize("axes", ["HWC", "CHW", "HW", "THWC", "TCHW", "THW", "HWT"])
@pytest.mark.parametrize("colours", [1, 3])
def test_every_form_of_image_gives_what_the_encoder_finds(
    encoder: KeypointEncoder, axes: str, colours: int
) -> None:
    env = KeypointObs(
        gym.make(ID, axes=axes, colours=colours), encoder, layout="HWT" if axes == "HWT" else None
    )
    seen = _episode(env, 2)
    grey = colours == 1 or "C" not in axes
    bare = Pictures()
    bare.reset(seed=2)
    for step, keypoints in enumerate(seen):
        if step > 0:
            bare.step((step - 1) % 2)
        frames = np.stack([bare.picture(shift) for shift in range(4 if "T" in axes else 1)])
        if grey:
            frames = np.repeat(frames[..., :1], 3, axis=3)
        wanted = encoder.encode(frames) if "T" in axes else encoder.encode(frames[0])
        np.testing.assert_allclose(keypoints, wanted, atol=1e-6)
    assert len({keypoints.tobytes() for keypoints in seen}) > 1


def test_entries_of_a_dict(encoder: KeypointEncoder) -> None:
    bare = Pictures(entries=True)
    image = bare.reset(seed=1)[0]["camera"]
    place = bare.place.astype(np.float32)
    views = {
        (): {"nodes", "mask", "arm"},
        ("pixels",): {"nodes", "mask", "arm", "camera"},
    }
    for options, names in views.items():
        env = KeypointObs(
            Pictures(entries=True), encoder, format="dict", key="camera", **dict.fromkeys(options, True)
        )
        observation, _ = env.reset(seed=1)
        assert set(observation) == set(env.observation_space) == names  # type: ignore[call-overload]
        np.testing.assert_array_equal(observation["arm"], place)
        np.testing.assert_allclose(observation["nodes"], encoder.encode(image), atol=1e-6)
        np.testing.assert_array_equal(observation["mask"], observation["nodes"][:, 2] > 0.5)
        if "pixels" in options:
            np.testing.assert_array_equal(observation["camera"], image)
    box = KeypointObs(Pictures(entries=True), encoder, key="camera")
    np.testing.assert_array_equal(box.reset(seed=1)[0], observation["nodes"])


def test_rendered_pictures(encoder: KeypointEncoder) -> None:
    bare = Pictures()
    image, _ = bare.reset(seed=1)
    env = KeypointObs(Pictures(None, render_mode="rgb_array"), encoder, format="dict", source="render")
    observation, _ = env.reset(seed=1)
    np.testing.assert_allclose(observation["nodes"], encoder.encode(image), atol=1e-6)
    np.testing.assert_array_equal(observation["state"], bare.place)
    assert set(observation) == {"nodes", "mask", "state"}
    entries = Pictures(entries=True, render_mode="rgb_array")
    env = KeypointObs(entries, encoder, format="dict", source="render", pixels=True)
    observation, _ = env.reset(seed=1)
    assert set(observation) == {"nodes", "mask", "arm", "camera", "pixels"}
    np.testing.assert_array_equal(observation["pixels"], image)


def test_classic_control_by_rendering() -> None:
    pytest.importorskip("pygame", reason="pygame is not installed")
    with pytest.warns(UserWarning, match=r"squeezes the 400×600 images of 'CartPole-v1'.*--env CartPole-v1"):
        env = KeypointObs(gym.make("CartPole-v1", render_mode="rgb_array"), source="render")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said
        KeypointObs(gym.make("CartPole-v1", render_mode="rgb_array"), source="render")
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert observation.shape == (25, 3)


@pytest.mark.filterwarnings("ignore:KeypointObs squeezes")
def test_coordinates(encoder: KeypointEncoder) -> None:
    size = (96, 48)  # not the encoder's aspect ratio
    unit, centred, pixels = (
        KeypointObs(Pictures(size=size), encoder, coordinates=name).reset(seed=1)[0]
        for name in ("unit", "centred", "pixels")
    )
    np.testing.assert_allclose(centred[:, :2], 2 * unit[:, :2] - 1, atol=1e-6)
    np.testing.assert_allclose(pixels[:, :2], unit[:, :2] * (47, 95), atol=1e-4)
    np.testing.assert_array_equal(pixels[:, 2], unit[:, 2])


def test_history_by_composition(encoder: KeypointEncoder) -> None:
    env = gym.wrappers.FrameStackObservation(KeypointObs(gym.make(MAGICAL), encoder, descriptors=True), 4)
    first, _ = env.reset(seed=0)
    assert first.shape == (4, K, 3 + D)
    np.testing.assert_array_equal(first, np.repeat(first[-1:], 4, axis=0))
    second = env.step(1)[0]
    np.testing.assert_array_equal(second[:-1], first[1:])
    # The other order encodes the same stack: every frame of it, each time.
    other = KeypointObs(gym.wrappers.FrameStackObservation(gym.make(MAGICAL), 4), encoder, descriptors=True)
    assert other.observation_space == env.observation_space
    np.testing.assert_allclose(other.reset(seed=0)[0], first, atol=1e-6)
    np.testing.assert_allclose(other.step(1)[0], second, atol=1e-6)
    stacked = gym.wrappers.FrameStackObservation(KeypointObs(Pictures(), encoder, format="dict"), 3)
    assert {name: part.shape for name, part in stacked.reset()[0].items()} == {
        "nodes": (3, K, 3),
        "mask": (3, K),
    }


def test_a_folder_is_recorded_absolutely(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(folder).parent)
    spec = KeypointObs(gym.make(ID), Path(folder).name).spec
    assert spec is not None
    assert json.loads(spec.to_json())["additional_wrappers"][-1]["kwargs"]["encoder"] == folder


def test_the_specification_of_an_encoder_object_says_what_is_missing(encoder: KeypointEncoder) -> None:
    spec = KeypointObs(gym.make(ID), encoder).spec
    assert spec is not None
    with pytest.raises(UserError, match="save_pretrained"):
        gym.make(EnvSpec.from_json(spec.to_json()))


def test_the_encoder_stays_frozen_and_in_evaluation_mode(encoder: KeypointEncoder) -> None:
    env = KeypointObs(gym.make(ID), encoder)
    before = env.reset(seed=0)[0]
    encoder.train()  # someone else's training loop must not change what is observed
    after = env.reset(seed=0)[0]
    np.testing.assert_array_equal(before, after)
    assert not any(parameter.requires_grad for parameter in env.encoder.parameters())
    encoder.eval()


def test_frames_of_another_size_are_resized(encoder: KeypointEncoder) -> None:
    small, native = (KeypointObs(gym.make(MAGICAL, resolution=size), encoder) for size in (96, 384))
    # 96 × 96 is the area average of 384 × 384, so both see the same picture but for rounding.
    np.testing.assert_allclose(small.reset(seed=0)[0], native.reset(seed=0)[0], atol=5e-3)


def test_the_device_is_the_users_choice(folder: str) -> None:
    env = KeypointObs(gym.make(ID), folder, device="cpu")
    assert env.encoder.device == torch.device("cpu")
    for device in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=f"cannot be brought to device '{device}', choose device='cpu'"):
            KeypointObs(gym.make(ID), folder, device=device)


LIES: dict[str, tuple[Callable[[np.ndarray], Any], str]] = {
    "floats": (lambda image: (image / 255).astype(np.float32), r"float32 image although.*\(255 \* image\)"),
    "NaN": (lambda image: np.full(image.shape, np.nan, np.float32), "NaN or infinite values"),
    "range": (lambda image: image.astype(np.float32) * 2 - 300, "float32 image with values from -"),
    "channels": (lambda image: image[..., :2], r"shape \(48, 48, 2\) instead of \(48, 48, 3\)"),
    "size": (lambda image: image[1:], r"shape \(47, 48, 3\) instead of \(48, 48, 3\): images must keep"),
    "nothing": (lambda image: None, "gave None where an image"),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(
    ("made", "view"),
    [
        ({}, {}),
        ({"entries": True}, {"key": "camera"}),
        ({"axes": None, "render_mode": "rgb_array"}, {"source": "render"}),
    ],
)
def test_images_that_are_not_what_was_promised(
    encoder: KeypointEncoder, lie: str, made: dict[str, Any], view: dict[str, Any]
) -> None:
    lies, words = LIES[lie]
    env = KeypointObs(Pictures(**made, lies=lies), encoder, **view)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(UserError, match=words) as caught:
        env.step(0)
    assert "'Pictures' gave" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "view", "words"),
    [
        ({"axes": None}, {}, r"needs uint8 images, but 'Pictures' gives float32 .*source='render'"),
        (
            {"axes": None},
            {"source": "render"},
            "whose render_mode is None: make it with render_mode='rgb_arr",
        ),
        ({"render_mode": "human"}, {"source": "render"}, "whose render_mode is 'human'"),
        ({"entries": True}, {}, "say which entry is the image, key='camera'"),
        ({"entries": True}, {"key": "eye"}, "no entry 'eye'"),
        ({}, {"key": "camera"}, "leave key out"),
        ({}, {"layout": "HW"}, "names 2 axes"),
        (
            {},
            {"format": "grph"},
            r"unknown format 'grph' \(did you mean 'graph'\?\); known: box, dict, graph",
        ),
        ({}, {"coordinates": "pixel"}, "unknown coordinates 'pixel'"),
        ({}, {"source": "screen"}, "unknown source 'screen'"),
        ({}, {"pixels": True}, "pixels=True has no place in format='box': choose format='dict'"),
        ({}, {"source": "render", "key": "camera"}, "leave out one of source and key"),
        ({"axes": "THWC"}, {"format": "graph"}, "cannot hold: choose format='box' or format='dict'"),
    ],
)
def test_what_cannot_be_wrapped_is_one_sentence(
    encoder: KeypointEncoder, made: dict[str, Any], view: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        KeypointObs(Pictures(**made), encoder, **view)
    assert "\n" not in str(caught.value)


def test_names_that_are_taken(encoder: KeypointEncoder) -> None:
    env = Pictures(entries=True, render_mode="rgb_array")
    camera, arm = env.observation_space["camera"], env.observation_space["arm"]
    for name, view in {"nodes": {"key": "camera"}, "pixels": {"source": "render", "pixels": True}}.items():
        env.observation_space = gym.spaces.Dict({"camera": camera, name: arm})
        with pytest.raises(UserError, match=f"has an entry '{name}' of its own"):
            KeypointObs(env, encoder, format="dict", **view)


def test_colour_images_and_a_grey_encoder() -> None:
    grey = KeypointEncoder(EncoderConfig(in_channels=1, num_keypoints=K, image_size=SIZE))
    assert KeypointObs(Pictures("HW"), grey).reset(seed=0)[0].shape == (K, 3)
    with pytest.raises(UserError, match=r"reads images of 1 channel, .*GrayscaleObservation"):
        KeypointObs(Pictures(), grey)


def test_unknown_encoders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown encoder 'magicl'"):
        KeypointObs(gym.make(ID), "magicl")
    with pytest.raises(UserError, match="no encoder folder"):
        KeypointObs(gym.make(ID), str(tmp_path / "nothing"))


def test_bounds_are_honest(encoder: KeypointEncoder) -> None:
    assert KeypointObs(gym.make(MAGICAL), encoder, descriptors=True).observation_space == keypoint_space(K, D)
