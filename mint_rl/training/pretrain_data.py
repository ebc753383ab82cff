"""The videos of a pretraining run: read or recorded, then split into those to train on and those held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.videos import VideoConfig, VideoSet, open_videos
from mint_rl.data.videos.video_set import Video
from mint_rl.errors import UserError
from mint_rl.training.pretrain_config import PretrainConfig

if TYPE_CHECKING:
    import gymnasium as gym

Item = TypeVar("Item")

FRAMES_FOLDER = "frames"  # of the run folder: what was collected of an environment
EXPLORER = "explorer"  # the behaviour in MAGICAL that moves whatever there is
_TEMPERATURE = 0.5  # of a cloned policy's actions, as where it is evaluated


def load_videos(config: PretrainConfig, folder: Path, say: Callable[[str], None]) -> VideoSet:
    """The videos that `config.data` names, frames of `config.env`, or rollouts of MAGICAL.

    Frames of `config.env` are kept in the run's `folder`, and read from there when it is resumed.
    Raises `UserError` for videos that cannot be used.
    """
    if config.env is not None:
        return _frames_of_env(config, folder / FRAMES_FOLDER, say)
    if config.data:
        return open_videos(config, say)
    return record_rollouts(config.rollouts, config.seed, say)


def record_rollouts(rollouts: int, seed: int, say: Callable[[str], None]) -> VideoSet:
    """What encoders are made on where no videos are given: so many rollouts of each of MAGICAL's tasks."""
    from mint_rl.envs.magical.recording import collect_frames

    say("recording rollouts of the eight MAGICAL tasks")
    recorded = VideoSet()
    for number, video in enumerate(collect_frames(rollouts, seed)):
        recorded.add(f"rollout {number}", video)
    return recorded


def spread_frames(videos: Sequence[Video], count: int) -> NDArray[np.uint8]:
    """Frames spread evenly over the videos and over time: (count, H, W, C); of few, some come twice."""
    frames = [(video, step) for video in range(len(videos)) for step in range(len(videos[video]))]
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return np.stack([videos[video][step] for video, step in (frames[i] for i in chosen)])


def _frames_of_env(config: PretrainConfig, folder: Path, say: Callable[[str], None]) -> VideoSet:
    if config.resume and folder.is_dir():
        return open_videos(VideoConfig([str(folder)], size=config.size, cache=config.cache), say)
    from tqdm import tqdm

    from mint_rl.envs.collecting import collect_videos, make_env, write_videos

    assert config.env is not None
    env, behaviour = make_env(config.env), None
    if config.behaviour == EXPLORER:
        behaviour = _explorer(env, config)
    elif config.behaviour != "random":
        env, behaviour = _behaviour(config.behaviour, env, config.seed)
    say(f"collecting frames of {config.env}")
    with tqdm(total=config.frames, desc="collecting", unit="frame", delay=0.3) as bar:
        videos = collect_videos(
            env,
            config.frames,
            config.frame_size,
            config.seed,
            behaviour,
            config.max_frames,
            config.stride,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    env.close()
    write_videos(folder, videos)
    collected = VideoSet()
    for number, video in enumerate(videos):
        collected.add(f"episode {number}", video)
    return collected


def _behaviour(run: str, env: gym.Env[Any, Any], seed: int) -> tuple[gym.Env[Any, Any], Callable[[Any], int]]:
    """The environment as a cloned policy observes it, and how that policy acts."""
    from mint_rl.policies.checkpoint import load_policy
    from mint_rl.policies.environment import environment_of
    from mint_rl.training.rollout import action_logits, choose_action

    policy = load_policy(run)
    generator = np.random.default_rng(seed)

    def act(observation: NDArray[Any]) -> int:
        return choose_action(action_logits(policy, observation[None])[0], _TEMPERATURE, generator)

    return environment_of(policy, env), act


def _explorer(env: gym.Env[Any, Any], config: PretrainConfig) -> Callable[[Any], int]:
    """MAGICAL's explorer, which reads the simulator's state; `UserError` for any other environment."""
    from mint_rl.envs.magical.env import MagicalEnv
    from mint_rl.envs.magical.explorers import Explorer

    world = env.unwrapped
    if not isinstance(world, MagicalEnv):
        raise UserError(
            f"the behaviour 'explorer' acts in MAGICAL alone, and '{config.env}' is none of its tasks: set "
            "behaviour=random or the run folder of mint-rl bc"
        )
    explorer = Explorer(config.seed)
    return lambda seen: explorer(world.state())


def split_videos(videos: Sequence[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Videos for training and validation: a share of them, drawn by the seed, and never the last one left."""
    held_out = min(math.ceil(share * len(videos)), len(videos) - 1)
    order = np.random.default_rng(seed).permutation(len(videos))
    chosen = set(order[:held_out].tolist()) if held_out > 0 else set()
    training = [video for number, video in enumerate(videos) if number not in chosen]
    return training, [videos[number] for number in sorted(chosen)]
