"""Recording MAGICAL: demonstrations of the scripted experts, and videos to learn keypoints from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet
from mint_rl.envs.magical.env import SUCCESS, MagicalEnv
from mint_rl.envs.magical.experts import EXPERT_TASKS, Expert, expert
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import ACTION_NAMES, TASKS, env_id, parse_env_id
from mint_rl.errors import UserError

Progress = Callable[[int, int], None]  # called with (done, in all)

# How often a burst of noise begins, per step, and how long it lasts at most. Many single steps teach more
# than fewer long bursts. TestJitter score of a small network cloned from 25 demonstrations of
# MoveToCorner-Demo in exact state (means over 3 to 9 seeds, 60 episodes each), and the share of attempts
# that failed:
#   no noise .52, 0 | .1 to 4 steps .78, .07 | .2 to 2 .86, .04 | .3 to 2 .94, .28 | .4 to 2 .99, .67
#   .2 single .94, 0 | .3 single .93, .03 | .4 single .99, .18 | .5 single .99, .58 | .6 single .97, .92
NOISE = 0.4
LONGEST_BURST = 1
VIDEO_NOISE = 0.1  # videos show what a demonstration looks like; they need no labels
# Recording is given up when this many attempts have failed beyond three for each episode that is wanted.
_PATIENCE = 20


class Video(NamedTuple):
    """Frames of one episode, and where they come from."""

    env_id: str
    frames: NDArray[np.uint8]  # (T, H, W, 3) RGB
    behaviour: str  # "scripted expert" or "explorer"


class NoiseBursts:
    """Now and then replaces actions by one random action for a few steps (DART, Laskey et al., 2017).

    probability: that a burst begins at a step outside of one
    longest:     a burst lasts 1 to this many steps, each as likely
    """

    def __init__(self, probability: float, longest: int, rng: np.random.Generator) -> None:
        self._probability, self._longest, self._rng = probability, longest, rng
        self._left, self._action = 0, 0

    def __call__(self, action: int) -> int:
        if self._left == 0 and self._rng.random() < self._probability:
            self._left = int(self._rng.integers(1, self._longest + 1))
            self._action = int(self._rng.integers(len(ACTION_NAMES)))
        if self._left == 0:
            return action
        self._left -= 1
        return self._action


def record_demonstrations(
    env: str,
    episodes: int = 25,
    seed: int = 0,
    noise: float = NOISE,
    longest_burst: int = LONGEST_BURST,
    view: str = "allo",
    resolution: int = 96,
    progress: Progress | None = None,
) -> DemonstrationSet:
    """`episodes` successful demonstrations of the scripted expert in `env`, say "MoveToCorner-TestJitter".

    In a burst of noise the robot does something else; the label stays what the expert would do in that state.
    So the demonstrations hold states that a clone's own mistakes lead to, with the way back.

    Attempt i is reset with seed + i and draws its noise from it. Attempts that end below a score of 1 are
    dropped; `source` of the result says how many. `progress` is called with (episodes kept, wanted).
    `UserError` for a task without expert, impossible numbers, or when too many attempts fail.
    """
    task, variant = parse_env_id(env)
    teacher = expert(task)
    _check_numbers(episodes, seed, noise, longest_burst)
    world = MagicalEnv(task, variant, view=view, resolution=resolution)
    kept: list[Demonstration] = []
    attempts = 0
    while len(kept) < episodes:
        if attempts - len(kept) >= _PATIENCE + 3 * episodes:
            raise UserError(
                f"only {len(kept)} of {attempts} attempts at {env_id(task, variant)} succeeded with noise "
                f"{noise} in bursts of up to {longest_burst} steps: lower the noise"
            )
        attempt = seed + attempts
        bursts = NoiseBursts(noise, longest_burst, np.random.default_rng((1, attempt)))
        demonstration = _episode(world, teacher, bursts, attempt)
        attempts += 1
        if demonstration.score >= SUCCESS:
            kept.append(demonstration)
            if progress is not None:
                progress(len(kept), episodes)
    how = f"noise bursts (probability {noise}, up to {longest_burst} steps)" if noise else "no noise"
    source = f"scripted expert, {how}, seed {seed}; dropped {attempts - episodes} of {attempts} attempts"
    return DemonstrationSet(env_id(task, variant), kept, {"view": view, "resolution": resolution}, source)


def _episode(world: MagicalEnv, teacher: Expert, bursts: NoiseBursts, seed: int) -> Demonstration:
    """One episode from reset to truncation."""
    frame, _ = world.reset(seed=seed)
    images, actions, executed, states = [], [], [], []
    ended = False
    while not ended:
        state = world.state()
        actions.append(teacher(state))
        executed.append(bursts(actions[-1]))
        images.append(frame)
        states.append(state.to_array())
        frame, _, _, ended, info = world.step(executed[-1])
    return Demonstration(
        images=np.stack(images),  # type: ignore[arg-type]
        actions=np.array(actions),
        executed=np.array(executed),
        score=info["eval_score"],
        seed=seed,
        states=np.stack(states),
    )


def collect_videos(
    episodes_per_task: int = 3, seed: int = 0, resolution: int = 96, progress: Progress | None = None
) -> list[Video]:
    """Videos of all eight tasks' Demo scenes: experts at work where there are any, exploration everywhere.

    The first episode of a task with an expert is its noisy demonstration, all others are the explorer's.
    Three episodes a task, 24 videos, are 3,180 frames.
    """
    _check_numbers(episodes_per_task, seed)
    videos: list[Video] = []
    for task_number, task in enumerate(TASKS):
        world = MagicalEnv(task, "Demo", resolution=resolution)
        for episode in range(episodes_per_task):
            streams = np.random.SeedSequence((2, seed, task_number, episode)).generate_state(2)
            scripted = episode == 0 and task in EXPERT_TASKS
            if scripted:
                bursts = NoiseBursts(VIDEO_NOISE, LONGEST_BURST, np.random.default_rng(streams[0]))
                behaviour, name = expert(task), "scripted expert"
            else:
                bursts = NoiseBursts(0.0, 1, np.random.default_rng(streams[0]))
                behaviour, name = Explorer(int(streams[0])), "explorer"
            demonstration = _episode(world, behaviour, bursts, int(streams[1]))
            videos.append(Video(env_id(task), demonstration.images, name))
            if progress is not None:
                progress(len(videos), episodes_per_task * len(TASKS))
    return videos


def collect_frames(
    episodes_per_task: int = 3, seed: int = 0, resolution: int = 96, progress: Progress | None = None
) -> list[NDArray[np.uint8]]:
    """The frames of `collect_videos`: a list of uint8 (T, resolution, resolution, 3), one for each video."""
    return [video.frames for video in collect_videos(episodes_per_task, seed, resolution, progress)]


def _check_numbers(episodes: int, seed: int, noise: float = 0.0, longest_burst: int = 1) -> None:
    if episodes < 1:
        raise UserError(f"episodes is {episodes} but must be at least 1")
    if not 0 <= seed < 2**31:
        raise UserError(f"seed is {seed} but must be from 0 to 2147483647")
    if not 0.0 <= noise <= 1.0:
        raise UserError(
            f"noise is {noise} but must be from 0 to 1: the probability that a burst begins at a step"
        )
    if longest_burst < 1:
        raise UserError(f"longest_burst is {longest_burst} but must be at least 1 step")
