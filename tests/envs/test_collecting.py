"""Frames of any environment: which picture is taken, who acts, and what cannot be collected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from picture_envs import Pictures

from mint_rl.data.videos import VideoConfig, open_videos
from mint_rl.envs.collecting import collect_videos, make_env, write_videos
from mint_rl.errors import UserError
from mint_rl.resize import resize_frames


def played(env: gym.Env[Any, Any], actions: list[int], seed: int) -> list[Any]:
    """What the environment renders before each action."""
    env.reset(seed=seed)
    pictures = []
    for action in actions:
        pictures.append(env.render())
        env.step(action)
    return pictures


@pytest.mark.parametrize("axes", ["HWC", "CHW", None])
def test_pictures_are_those_that_the_wrapper_would_see(axes: str | None) -> None:
    env = Pictures(axes, render_mode="rgb_array")
    videos = collect_videos(env, frames=7, seed=3, behaviour=lambda seen: 1)
    assert [video.shape for video in videos] == [(5, 48, 48, 3)] * 2
    for number, video in enumerate(videos):
        np.testing.assert_array_equal(video, played(env, [1] * 5, 3 + number))


def test_of_a_stack_the_newest_frame_is_taken() -> None:
    env = Pictures("THWC")
    (video,) = collect_videos(env, frames=5, seed=3, behaviour=lambda seen: 1)
    observation, _ = env.reset(seed=3)
    np.testing.assert_array_equal(video[0], observation[-1])


def test_grey_pictures_and_those_in_a_dict_are_taken_too() -> None:
    for env in (Pictures("HW"), Pictures("HWC", entries=True)):
        (video,) = collect_videos(env, frames=5)
        assert video.shape == (5, 48, 48, 3)
        assert (video != video[0]).any()


def test_size_and_stride() -> None:
    env = Pictures(None, size=(96, 160), length=6, render_mode="rgb_array")
    (small,) = collect_videos(env, frames=3, size=(24, 40), stride=2, behaviour=lambda seen: 0)
    whole = np.stack(played(env, [0] * 6, 0))
    np.testing.assert_array_equal(small, resize_frames(whole[::2], (24, 40)))


def test_long_episodes_are_cut() -> None:
    env = Pictures("HWC", length=1000)
    assert [len(video) for video in collect_videos(env, frames=201)] == [200, 200]
    assert [len(video) for video in collect_videos(env, frames=5, episode_frames=3)] == [3, 3]


def test_large_pictures_keep_their_shape() -> None:
    env = Pictures(None, size=(320, 480), render_mode="rgb_array")
    assert collect_videos(env, frames=2)[0].shape[1:] == (160, 240, 3)


def test_the_seed_decides_everything() -> None:
    first, again, other = (
        np.concatenate(collect_videos(Pictures("HWC"), frames=20, seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_random_actions_are_held_for_a_while() -> None:
    acted: list[float] = []

    class Watched(Pictures):
        action_space = spaces.Box(-1.0, 1.0, (1,))  # type: ignore[assignment]

        def step(self, action: Any) -> Any:
            acted.append(float(action[0]))
            return super().step(int(action[0] > 0))

    collect_videos(Watched("HWC", length=400), frames=800)
    changes = np.flatnonzero(np.diff(acted)) + 1
    lengths = np.diff([0, *changes])
    assert set(lengths) == set(range(1, 9))  # 1 to 8 steps
    assert len(set(acted)) == len(changes) + 1


def test_behaviour_sees_what_the_environment_shows() -> None:
    env = Pictures(None, render_mode="rgb_array")
    seen: list[Any] = []
    collect_videos(env, frames=5, behaviour=lambda observation: seen.append(observation) or 0)
    assert all(env.observation_space.contains(observation) for observation in seen)


def test_written_frames_are_read_again_as_they_were(tmp_path: Path) -> None:
    videos = collect_videos(Pictures("HWC"), frames=9)
    write_videos(tmp_path / "frames", videos[:1] * 5)
    write_videos(tmp_path / "frames", videos)  # replaces what was there
    again = open_videos(VideoConfig([str(tmp_path / "frames")], cache=str(tmp_path / "cache")))
    assert len(again) == 2
    for before, after in zip(videos, again, strict=True):
        np.testing.assert_array_equal(np.asarray(after[:]), before)


def test_environments_by_their_names() -> None:
    assert make_env("MakeLine").spec.id == "magical/MakeLine-Demo-v0"  # type: ignore[union-attr]
    gym.register("test/NoMode-v0", lambda: Pictures("HWC"))
    try:
        assert collect_videos(make_env("test/NoMode-v0"), frames=2)
    finally:
        del gym.registry["test/NoMode-v0"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "CartPol-v1",
            "cannot make the environment 'CartPol-v1': Environment `CartPol` doesn't exist. Did you",
        ),
        ("MakeLine-TestJittr", "unknown variant of MakeLine 'TestJittr'"),
    ],
)
def test_unknown_names(name: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        make_env(name)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


class Still(Pictures):
    """Its picture never changes."""

    def render(self) -> Any:
        return np.zeros((48, 48, 3), np.uint8)


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        (Pictures(None), "neither observes pictures nor renders them: make it with render_mode='rgb_array'"),
        (Still(None, render_mode="rgb_array"), "nothing moves"),
        (Pictures("HWC", length=1), "50 episodes in a row ended before their second frame"),
        (Pictures("HWC", colours=2), "neither grey"),
    ],
)
def test_what_cannot_be_collected_is_said(env: gym.Env[Any, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        collect_videos(env, frames=4, stride=2)
