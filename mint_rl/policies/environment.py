"""An environment as a trained policy observes it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.wrappers import FrameStackObservation

from mint_rl.envs.keypoint_obs import KeypointObs
from mint_rl.errors import UserError
from mint_rl.policies.base import ImitationPolicy


def environment_of(
    policy: ImitationPolicy, env: gym.Env[Any, Any] | None = None, **make: Any
) -> gym.Env[Any, Any]:
    """`env` wrapped so that it observes what the policy reads: its own encoder's keypoints, stacked.

    With it a clone is the starting point of reinforcement learning, here on MAGICAL's score as the reward:

        clone = load_policy("runs/demo")
        env = environment_of(clone, reward="score")
        model = PPO(type(clone), env, policy_kwargs={"config": clone.config})
        model.policy.load_state_dict(clone.state_dict())

    Args:
        policy: A policy with its `context`, as `load_policy` returns it.
        env: Any environment with the same pictures and actions; by default the one it was trained for.
        make: What `gym.make` is given beside that one's id.

    Raises:
        UserError: The policy does not know what it was trained for, or the environment does not fit it.
    """
    if policy.context is None:
        raise UserError("the policy does not say what it was trained for: set policy.context")
    if env is None:
        import mint_rl.envs.magical  # noqa: F401  # registers its ids

        env = gym.make(policy.context.env_id, **{**policy.context.env_kwargs, **make})
    shape = policy.observation_space.shape
    assert shape is not None
    if policy.context.encoder is not None:
        env = KeypointObs(env, policy.context.encoder, descriptors=shape[-1] > 3)
    env = FrameStackObservation(env, shape[0])
    for what, wanted, given in (
        ("observations", policy.observation_space, env.observation_space),
        ("actions", policy.action_space, env.action_space),
    ):
        if wanted != given:
            raise UserError(f"the policy was trained for {what} {wanted}, but this environment has {given}")
    return env
