"""DAgger: episodes that the policy plays and the scripted expert labels (Ross et al., AISTATS 2011).

A clone that errs sees states that no demonstration shows. Here it acts, and at every state that it reaches
the expert says what it would have done; trained on these too, it learns the way back from its own mistakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from mint_rl.data.demonstrations import Demonstration
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.experts import Expert, expert
from mint_rl.policies.base import ImitationPolicy
from mint_rl.training.rollout import play

# Rollouts are seeded from here on, away from demonstrations, tests and validation; MAGICAL takes up to 2³².
DAGGER_SEED = 4_000_000_000


class ExpertLabels(gym.Wrapper[Any, Any, Any, Any]):
    """Notes each frame of an episode of MAGICAL, what the expert would do there, and what is done."""

    def __init__(self, env: gym.Env[Any, Any], teacher: Expert) -> None:
        super().__init__(env)
        self.teacher = teacher
        self.images: list[NDArray[np.uint8]] = []
        self.labels: list[int] = []
        self.executed: list[int] = []
        self.states: list[NDArray[np.float32]] = []
        self.score = 0.0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, with nothing noted."""
        self._frame, info = self.env.reset(**options)
        self.images, self.labels, self.executed, self.states = [], [], [], []
        return self._frame, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Note the present frame with its label, then act."""
        world = self.env.unwrapped
        assert isinstance(world, MagicalEnv)
        state = world.state()
        self.images.append(np.array(self._frame))
        self.labels.append(self.teacher(state))
        self.executed.append(int(action))
        self.states.append(state.to_array())
        self._frame, reward, terminated, truncated, info = self.env.step(action)
        self.score = float(info.get("eval_score", self.score))
        return self._frame, reward, terminated, truncated, info

    def demonstration(self, seed: int) -> Demonstration:
        """The finished episode: its labels are the expert's, its outcome is the policy's."""
        return Demonstration(
            images=np.stack(self.images),
            actions=np.array(self.labels),
            executed=np.array(self.executed),
            score=self.score,
            seed=seed,
            states=np.stack(self.states),
        )


def labelled_rollouts(
    policy: ImitationPolicy, env_ids: Sequence[str], seeds: Sequence[int], temperature: float = 0.5
) -> list[Demonstration]:
    """One episode for each seed, on the environments in turn; `UserError` for a task without expert."""
    policy.set_training_mode(False)
    environments = []
    for number in range(len(seeds)):
        env = gym.make(env_ids[number % len(env_ids)])
        world = env.unwrapped
        assert isinstance(world, MagicalEnv)
        environments.append(ExpertLabels(env, expert(world.task)))
    try:
        play(policy, environments, seeds, temperature)
        return [env.demonstration(seed) for env, seed in zip(environments, seeds, strict=True)]
    finally:
        for env in environments:
            env.close()
