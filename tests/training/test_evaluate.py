"""Evaluation: seeded by index, the same however many environments step together, the same as the wrappers."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from torch import Tensor

from mint_rl.envs.keypoint_obs import KeypointObs, keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.training.evaluate import Evaluation, evaluate, example_rollout
from mint_rl.training.rollout import choose_action, record_rollout, run_episodes

ENV = "magical/MoveToRegion-TestJitter-v0"


@pytest.fixture(scope="module")
def policy() -> ImitationPolicy:
    """An untrained policy that drives about, so that scores differ between episodes."""
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=5, gamma=0.5)).eval()
    space = gym.vector.utils.batch_space(keypoint_space(5, 10), 4)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=MLPConfig(hidden=8))
    with torch.no_grad():
        policy.action_net.bias[:3] += 3
    policy.context = PolicyContext("magical/MoveToRegion-Demo-v0", {}, encoder, "")
    return policy.eval()  # type: ignore[return-value]


def wrapped(policy: ImitationPolicy, env_id: str) -> gym.Env[object, int]:
    assert policy.context is not None
    assert policy.context.encoder is not None
    env = KeypointObs(gym.make(env_id, reward="score"), policy.context.encoder, descriptors=True)
    return gym.wrappers.FrameStackObservation(env, 4)


def actions_of(policy: ImitationPolicy, seeds: list[int]) -> list[list[int]]:
    """The actions of an episode for each seed, all stepped together."""
    taken: dict[int, list[int]] = {}

    def watch(env: gym.Env[object, int], _: object, action: int | None) -> None:
        if action is not None:
            taken.setdefault(id(env), []).append(action)

    run_episodes(policy, ENV, seeds, temperature=0.5, watch=watch)
    return list(taken.values())


def test_episodes_do_not_depend_on_how_many_step_together(policy: ImitationPolicy) -> None:
    together = actions_of(policy, [4, 5, 6])
    assert together == [actions_of(policy, [seed])[0] for seed in (4, 5, 6)]
    assert together[0] != together[1]


def test_every_episode_is_seeded_by_its_index(
    policy: ImitationPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[list[int]] = []

    def fake(_policy: object, _env: object, seeds: range, *_: object, **__: object) -> list[float]:
        played.append(list(seeds))
        return [seed / 100 for seed in seeds]

    monkeypatch.setattr("mint_rl.training.evaluate.run_episodes", fake)
    result = evaluate(policy, ["TestJitter"], episodes=5, seed=7, parallel=2)["TestJitter"]
    assert played == [[7, 8], [9, 10], [11]]
    assert result.scores == (0.07, 0.08, 0.09, 0.10, 0.11)


def test_sees_what_the_wrappers_show(policy: ImitationPolicy) -> None:
    env = wrapped(policy, ENV)
    seen, _ = env.reset(seed=5)

    def watch(_: object, observation: np.ndarray, action: int | None) -> None:  # type: ignore[type-arg]
        nonlocal seen
        np.testing.assert_allclose(observation, seen, atol=1e-4)
        if action is not None:
            seen = env.step(action)[0]

    run_episodes(policy, ENV, [5], temperature=1.0, watch=watch)


def test_tracks_are_those_of_each_episode(policy: ImitationPolicy) -> None:
    """Stepped together or alone, an encoder with tracks shows what `KeypointObs` does."""
    assert policy.context is not None
    assert policy.context.encoder is not None
    encoder = policy.context.encoder
    plain = encoder.config
    encoder.config = dataclasses.replace(plain, tracks=5, gamma=0.7)
    try:
        test_sees_what_the_wrappers_show(policy)
        test_episodes_do_not_depend_on_how_many_step_together(policy)
    finally:
        encoder.config = plain


def test_argmax_scores_are_those_of_evaluate_policy(policy: ImitationPolicy) -> None:
    env = wrapped(policy, "magical/MoveToRegion-Demo-v0")
    rewards, _ = evaluate_policy(policy, env, n_eval_episodes=1, return_episode_rewards=True, warn=False)
    ours = evaluate(policy, ["Demo"], episodes=1, temperature=0)["Demo"]
    assert ours.scores == pytest.approx(rewards)


def test_summary(policy: ImitationPolicy) -> None:
    result = evaluate(policy, ["TestJitter"], episodes=4)["TestJitter"]
    assert result.env_id == ENV
    assert result.mean == pytest.approx(np.mean(result.scores))
    assert result.interval[0] <= result.mean <= result.interval[1]
    assert (
        str(Evaluation("e", 0, 0.5, (0.0, 1.0), 0.5, (0.0, 1.0))) == "e: 0.500 [0.000, 1.000] over 2 episodes"
    )
    assert result.to_json()["scores"] == list(result.scores)


def test_rollout_keeps_pictures_keypoints_and_actions(policy: ImitationPolicy) -> None:
    rollout = example_rollout(policy, "TestJitter", seed=3)
    steps = len(rollout.actions)
    assert steps == 40
    assert rollout.frames.shape == (steps + 1, 384, 384, 3)
    assert rollout.frames.dtype == np.uint8
    assert rollout.keypoints is not None
    assert rollout.keypoints.shape == (steps + 1, 5, 3)
    assert rollout.score == evaluate(policy, ["TestJitter"], episodes=1, seed=3)["TestJitter"].scores[0]
    # The pictures belong to the steps: replaying the actions shows them again.
    env = gym.make(ENV, render_mode="rgb_array")
    env.reset(seed=3)
    np.testing.assert_array_equal(env.render(), rollout.frames[0])
    for action, frame in zip(rollout.actions, rollout.frames[1:], strict=True):
        env.step(action)
        np.testing.assert_array_equal(env.render(), frame)


def test_choose_action() -> None:
    logits = np.log(np.array([0.1, 0.6, 0.3]))
    generator = np.random.default_rng(0)
    assert choose_action(logits, 0, generator) == 1
    drawn = [choose_action(logits, 1.0, generator) for _ in range(4000)]
    np.testing.assert_allclose(np.bincount(drawn) / 4000, [0.1, 0.6, 0.3], atol=0.03)
    colder = [choose_action(logits, 0.5, generator) for _ in range(4000)]
    wanted = np.array([0.01, 0.36, 0.09]) / 0.46  # p² normalised
    np.testing.assert_allclose(np.bincount(colder) / 4000, wanted, atol=0.03)


class Countdown(gym.Env[np.ndarray, int]):  # type: ignore[type-arg]
    """Episodes of a length that the seed decides; a reward of 1 a step. No MAGICAL in it."""

    observation_space = spaces.Box(0, 255, (96, 96, 3), np.uint8)
    action_space = spaces.Discrete(18)

    def reset(self, *, seed: int | None = None, options: object = None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        self.left = 1 + (seed or 0) % 4
        return np.zeros((96, 96, 3), np.uint8), {}

    def step(self, action: int):  # type: ignore[no-untyped-def]
        self.left -= 1
        return np.zeros((96, 96, 3), np.uint8), 1.0, self.left == 0, False, {}


def test_episodes_of_different_lengths_score_the_sum_of_rewards(policy: ImitationPolicy) -> None:
    gym.register("Countdown-v0", Countdown)
    try:
        assert run_episodes(policy, "Countdown-v0", [0, 3, 1, 2], temperature=0.5) == [1.0, 4.0, 2.0, 3.0]
    finally:
        del gym.registry["Countdown-v0"]


def test_bad_input(policy: ImitationPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown variant of MoveToRegion 'TestShape'"):
        evaluate(policy, ["Demo", "TestShape"])
    with pytest.raises(UserError, match="at least 1 episode"):
        evaluate(policy, episodes=0)
    with pytest.raises(UserError, match="temperature"):
        evaluate(policy, temperature=-1)
    monkeypatch.setattr(policy, "context", None)
    with pytest.raises(UserError, match="does not say what it was trained for"):
        evaluate(policy)
    with pytest.raises(UserError, match="comes without an encoder"):
        record_rollout(policy, ENV)


def test_logits_do_not_train(policy: ImitationPolicy) -> None:
    from mint_rl.training.rollout import action_logits

    weight: Tensor = policy.action_net.weight
    action_logits(policy, np.zeros((1, 4, 5, 13), np.float32))
    assert weight.grad is None
