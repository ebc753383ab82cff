"""Episodes of MAGICAL with the simulator's own masks, to evaluate keypoints on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mint_rl.data.masked_video import MaskedVideo
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.experts import EXPERT_TASKS, expert
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import env_id, parse_env_id
from mint_rl.envs.magical.recording import VIDEO_NOISE, NoiseBursts
from mint_rl.errors import UserError, unknown_name

# Expert where the task has one and the explorer elsewhere; or one of them for all.
BEHAVIOURS = ("auto", "expert", "explorer")
_KEYPOINT_SHARE = 180 / 96**2


def masked_episodes(
    env: str,
    episodes: int,
    seed: int = 0,
    behaviour: str = "auto",
    noise: float = VIDEO_NOISE,
    resolution: int = 96,
) -> Iterator[MaskedVideo]:
    """Play `episodes` episodes of `env`, say "MoveToCorner-TestJitter", one at a time.

    Objects are the robot, with its fingers, and the blocks. Episode i is reset with `seed` + i and draws from
    it whatever else is random.

    behaviour: "expert" follows the scripted expert with single random steps, "explorer" moves what there is;
        "auto" takes the expert where the task has one.
    noise: the probability of a random step of the expert's. Demo has one start: there episodes differ by this
        alone.

    Raises `UserError` for an unknown environment or behaviour, or a task without expert.
    """
    task, variant = parse_env_id(env)
    if behaviour not in BEHAVIOURS:
        raise unknown_name("behaviour", behaviour, BEHAVIOURS)
    if not 0 <= noise <= 1:
        raise UserError(f"noise is {noise} but must be from 0 to 1: the probability of a random step")
    scripted = behaviour == "expert" or (behaviour == "auto" and task in EXPERT_TASKS)
    teacher = expert(task) if scripted else None
    world = MagicalEnv(task, variant, resolution=resolution)
    for number in range(seed, seed + episodes):
        bursts = NoiseBursts(noise if scripted else 0.0, 1, np.random.default_rng((3, number)))
        yield _play(world, teacher or Explorer(number), bursts, number)


def keypoint_area(height: int, width: int) -> float:
    """A_k in pixels of masks of MAGICAL: 180 at 96×96, the mean area of its robot and blocks."""
    return _KEYPOINT_SHARE * height * width


def _play(world: MagicalEnv, behaviour: Callable[..., int], bursts: NoiseBursts, seed: int) -> MaskedVideo:
    """One episode, from the frame of the reset to the one after the last action."""
    frame, _ = world.reset(seed=seed)
    frames, masks, actions = [frame], [world.instance_mask()], []
    ended = False
    while not ended:
        actions.append(bursts(behaviour(world.state())))
        frame, _, _, ended, _ = world.step(actions[-1])
        frames.append(frame)
        masks.append(world.instance_mask())
    objects = tuple(range(1, 2 + len(world.state().blocks)))  # the robot, then the blocks
    area = keypoint_area(world.resolution, world.resolution)
    images = np.stack(frames)  # type: ignore[arg-type]
    name = env_id(world.task, world.variant)
    return MaskedVideo(name, images, np.stack(masks), objects, area, np.array(actions))
