"""`mint-rl keypoints joints`: how far keypoints are from the joints of MAGICAL's robot, and controls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.names import parse_env_id
from mint_rl.envs.magical.skeleton import JOINTS, joint_coordinates, pose_prior
from mint_rl.errors import UserError
from mint_rl.keypoints.pretrained import load_encoder

HELD_OUT_SEED = 500_000
_STEPS = 40


def joint_errors(
    source: str,
    env: str = "MoveToRegion-TestAll",
    episodes: int = 25,
    seed: int = HELD_OUT_SEED,
    say: Callable[[str], None] = print,
) -> dict[str, NDArray[np.float64]]:
    """Mean distance of each keypoint to its joint, in pixels of a 96×96 picture, (7,), by what is measured.

    The controls: "mean pose" places every joint at its mean over the prior, "random" takes a random pose of
    it. "turned" compares with the joints turned by a half around the body: lower than the encoder's own error
    if it takes front for back. Raises `UserError` for an encoder of other than seven keypoints or no episode.
    """
    if episodes < 1:
        raise UserError(f"episodes must be at least 1, got {episodes}")
    encoder = load_encoder(source)
    if encoder.num_keypoints != len(JOINTS):
        raise UserError(f"'{source}' has {encoder.num_keypoints} keypoints, the robot {len(JOINTS)} joints")
    frames, true = explored(env, episodes, seed)
    found = encoder.encode(frames)[..., :2]
    poses = pose_prior(seed=seed).points
    chosen = poses[np.random.default_rng(seed).integers(len(poses), size=len(true))]
    compared = {
        "encoder": (found, true),
        "turned": (found, 2 * true[:, :1] - true),
        "mean pose": (poses.mean(0), true),
        "random": (chosen, true),
    }
    errors = {name: 95 * np.linalg.norm(a - b, axis=-1).mean(0) for name, (a, b) in compared.items()}
    say(f"pixels of 96 on {len(true)} frames of {env}: " + ", ".join(JOINTS))
    for name, values in errors.items():
        mean = values.mean()
        say(f"{name:<10}" + " ".join(f"{v:6.1f}" for v in values) + f"  mean {mean:.1f} = {mean / 96:.1%}")
    return errors


def explored(
    env: str, episodes: int, seed: int = HELD_OUT_SEED
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Frames (N, 96, 96, 3) of an explorer's episodes, reset with `seed` and on, and the joints (N, 7, 2)."""
    world = MagicalEnv(*parse_env_id(env))
    frames, joints = [], []
    for number in range(seed, seed + episodes):
        frame, _ = world.reset(seed=number)
        explorer = Explorer(number)
        for _ in range(_STEPS):
            frames.append(frame)
            joints.append(joint_coordinates(world.world))
            frame = world.step(explorer(world.state()))[0]
    return np.stack(frames), np.stack(joints)  # type: ignore[arg-type]
