"""Helpers for the tests of the MAGICAL environments; none of them imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.names import ACTION_NAMES


def random_actions(count: int, seed: int = 0) -> list[int]:
    """Actions that drive about: each is kept for a few steps, so that the robot meets blocks and walls."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.integers(len(ACTION_NAMES), size=count // 4 + 1), 4)[:count].tolist()


def rollout(env: MagicalEnv, actions: Iterable[int], seed: int = 0) -> list[np.ndarray]:
    """The observations of an episode, the first included."""
    return [env.reset(seed=seed)[0], *(env.step(action)[0] for action in actions)]


def digest(frames: Iterable[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(frame.tobytes() for frame in frames)).hexdigest()[:16]
