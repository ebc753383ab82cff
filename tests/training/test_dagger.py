"""Rollouts with the expert's labels: what was seen, what the expert says there, what was done."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.experts import expert
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.training.dagger import labelled_rollouts

IDS = ["magical/MoveToRegion-Demo-v0", "magical/MoveToRegion-TestJitter-v0"]


@pytest.fixture(scope="module")
def policy() -> ImitationPolicy:
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=5, gamma=0.5)).eval()
    space = gym.vector.utils.batch_space(keypoint_space(5, 0), 4)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=MLPConfig(hidden=8))
    policy.context = PolicyContext(IDS[0], {}, encoder, "")
    return policy


def test_labels_are_the_experts_at_the_states_that_the_policy_reached(policy: ImitationPolicy) -> None:
    episodes = labelled_rollouts(policy, IDS, [7, 8, 9])
    assert [episode.seed for episode in episodes] == [7, 8, 9]
    teacher = expert("MoveToRegion")
    for number, episode in enumerate(episodes):
        env = gym.make(IDS[number % 2])
        world = env.unwrapped
        assert isinstance(world, MagicalEnv)
        frame, _ = env.reset(seed=episode.seed)
        for step in range(40):
            np.testing.assert_array_equal(episode.images[step], frame)
            assert episode.actions[step] == teacher(world.state())
            frame, _, _, _, info = env.step(episode.executed[step])
        assert episode.score == info["eval_score"]
    # An untrained policy does something else than the expert.
    assert np.mean(episodes[0].actions == episodes[0].executed) < 0.5


def test_a_task_without_an_expert(policy: ImitationPolicy) -> None:
    with pytest.raises(UserError, match="no scripted expert for the task 'FindDupe'"):
        labelled_rollouts(policy, ["magical/FindDupe-Demo-v0"], [0])
