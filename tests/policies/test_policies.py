"""All policies as Stable-Baselines3 policies: shapes, evaluate_policy, PPO, and inputs that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from torch import nn

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.envs.keypoint_obs import KeypointObs, keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.base import ImitationPolicy
from mint_rl.policies.cnn import CNNConfig, CNNPolicy
from mint_rl.policies.interaction import InteractionConfig, InteractionNetwork, KeypointPolicy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.policies.node_features import NodeFeatures
from mint_rl.policies.registry import POLICY_NAMES, policy_class
from mint_rl.policies.set_transformer import SetTransformerConfig, SetTransformerPolicy

ENV = "magical/MoveToRegion-Demo-v0"
K, D = 5, 10
SMALL = {
    "interaction": InteractionConfig(hidden=8),
    "set-transformer": SetTransformerConfig(hidden=8),
    "mlp": MLPConfig(hidden=8),
    "cnn": CNNConfig(width=0.05),
}


def make_env(name: str) -> gym.Env[Any, Any]:
    env: gym.Env[Any, Any] = gym.make(ENV, reward="score")
    if name != "cnn":
        torch.manual_seed(0)
        encoder = KeypointEncoder(EncoderConfig(num_keypoints=K, gamma=0.5))
        env = KeypointObs(env, encoder, descriptors=True)
    return gym.wrappers.FrameStackObservation(env, 4)


def make_policy(name: str) -> ImitationPolicy:
    keypoints = batch_space(keypoint_space(K, D), 4)
    space = spaces.Box(0, 255, (4, 96, 96, 3), np.uint8) if name == "cnn" else keypoints
    torch.manual_seed(0)
    return policy_class(name)(space, spaces.Discrete(18), config=SMALL[name])


def observations(policy: ImitationPolicy, batch: int) -> torch.Tensor:
    return torch.as_tensor(np.stack([policy.observation_space.sample() for _ in range(batch)]))


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_shapes(name: str) -> None:
    policy = make_policy(name)
    policy.set_training_mode(False)
    seen = observations(policy, 3)
    logits, following = policy.imitate(seen)
    assert logits.shape == (3, 18)
    assert (following is None) if name == "cnn" else (following is not None and following.shape == (3, K, 3))
    # What Stable-Baselines3 computes is what behaviour cloning trained.
    torch.testing.assert_close(policy.get_distribution(seen).distribution.logits, logits.log_softmax(1))
    actions, values, log_probabilities = policy(seen)
    assert actions.shape == (3,)
    assert values.shape == (3, 1)
    assert log_probabilities.shape == (3,)


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_predict_takes_one_observation_or_many(name: str) -> None:
    policy = make_policy(name)
    policy.set_training_mode(False)
    seen = observations(policy, 2).numpy()
    many, _ = policy.predict(seen, deterministic=True)
    one, _ = policy.predict(seen[0], deterministic=True)
    assert many.shape == (2,)
    assert one == many[0]


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_evaluate_policy_runs_it(name: str) -> None:
    mean, _ = evaluate_policy(make_policy(name), make_env(name), n_eval_episodes=1, warn=False)
    assert 0 <= mean <= 1


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_ppo_trains_it(name: str) -> None:
    model = PPO(
        policy_class(name), make_env(name), n_steps=16, batch_size=8, n_epochs=1, seed=0, device="cpu",
        policy_kwargs={"config": SMALL[name]},
    )  # fmt: skip
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(16)
    changed = [key for key, value in model.policy.state_dict().items() if not torch.equal(value, before[key])]
    assert any(key.startswith("features_extractor") for key in changed)
    assert any(key.startswith("action_net") for key in changed)
    # A cloned policy is the starting point of PPO.
    model.policy.load_state_dict(make_policy(name).state_dict())


def test_ppo_saves_and_loads(tmp_path: Any) -> None:
    options = {"config": SMALL["mlp"]}
    model = PPO(
        MLPKeypointPolicy, make_env("mlp"), n_steps=8, batch_size=8, policy_kwargs=options, device="cpu"
    )
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model", device="cpu")
    seen = observations(make_policy("mlp"), 2).numpy()
    np.testing.assert_array_equal(
        again.predict(seen, deterministic=True)[0], model.predict(seen, deterministic=True)[0]
    )


def test_network_serves_in_any_policy_of_stable_baselines3() -> None:
    options = {
        "features_extractor_class": InteractionNetwork,
        "features_extractor_kwargs": {"config": SMALL["interaction"]},
    }
    model = PPO(
        "MlpPolicy",
        make_env("interaction"),
        n_steps=8,
        batch_size=8,
        n_epochs=1,
        policy_kwargs=options,
        device="cpu",
    )
    model.learn(8)


def test_node_features_golden() -> None:
    module = NodeFeatures(frames=2, descriptor_dim=2)
    frames = torch.tensor([[[0.5, 0.25, 1.0, 3.0, 5.0]], [[0.5, 0.25, 1.0, 7.0, 5.0]]])  # (N, K, 3 + D)
    module.fit(frames)
    out = module(torch.tensor([[[[0.0, 1.0, 0.0, 9.0, 9.0]], [[0.5, 0.75, 1.0, 7.0, 5.0]]]]))
    # x, y in [−1, 1] and status of the older frame, then of the newer; half of (7 − 5) / √8; a constant is 0.
    wanted = [-1.0, 1.0, 0.0, 0.0, 0.5, 1.0, 0.5 * 2 / (8**0.5 + 1e-3), 0.0]
    torch.testing.assert_close(out[0, 0], torch.tensor(wanted))


def test_differences_golden() -> None:
    module = NodeFeatures(frames=2, descriptor_dim=0, differences=True)
    out = module(torch.tensor([[[[0.0, 1.0, 0.0]], [[0.5, 0.75, 1.0]]]]))
    # In units of [−1, 1] the last place is (0, 0.5), and the one before was (−1, 0.5) from there, times 5.
    torch.testing.assert_close(out[0, 0], torch.tensor([-5.0, 2.5, 0.0, 0.0, 0.5, 1.0]))


def test_cnn_is_the_papers() -> None:
    policy = CNNPolicy(spaces.Box(0, 255, (4, 96, 96, 3), np.uint8), spaces.Discrete(18))
    convolutions = [module for module in policy.modules() if isinstance(module, nn.Conv2d)]
    described = [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions]
    assert described == [
        (12, 64, 5, 1),
        (64, 128, 3, 2),
        (128, 128, 3, 2),
        (128, 128, 3, 2),
        (128, 128, 3, 2),
    ]
    linear = [m.out_features for m in policy.network.modules() if isinstance(m, nn.Linear)]
    assert linear == [256, 128, 64, 32, 32]
    assert policy.action_net.out_features == 18


@pytest.mark.parametrize("name", POLICY_NAMES)
def test_chunks_of_actions(name: str) -> None:
    torch.manual_seed(0)
    config = replace(SMALL[name], chunk=3)
    alone = make_policy(name)
    policy = policy_class(name)(alone.observation_space, spaces.Discrete(18), config=config)
    policy.set_training_mode(False)
    seen = observations(policy, 2)
    plan = policy.plan(seen).logits
    assert plan.shape == (2, 3, 18)
    torch.testing.assert_close(policy.imitate(seen)[0], plan[:, 0])
    torch.testing.assert_close(policy.get_distribution(seen).distribution.logits, plan[:, 0].log_softmax(1))
    assert alone.plan(seen)[0].shape == (2, 1, 18)


@pytest.mark.parametrize("cls", [KeypointPolicy, SetTransformerPolicy, MLPKeypointPolicy])
@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (spaces.Box(0, 255, (4, 96, 96, 3), np.uint8), r"wrap it as FrameStackObservation\(KeypointObs"),
        (spaces.Box(0, 1, (5, 3), np.float32), "frames, keypoints"),
        (spaces.Box(0, 1, (4, 1, 3), np.float32), "at least 2 keypoints"),
        (spaces.Discrete(3), "the environment gives Discrete"),
    ],
)
def test_keypoint_policies_say_what_they_read(
    cls: type[ImitationPolicy], space: spaces.Space[Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        cls(space, spaces.Discrete(18))


def test_cnn_says_what_it_reads() -> None:
    with pytest.raises(UserError, match=r"wrap it as FrameStackObservation\(env, 4\)"):
        CNNPolicy(spaces.Box(0, 255, (96, 96, 3), np.uint8), spaces.Discrete(18))


def test_unknown_policy() -> None:
    with pytest.raises(UserError, match=r"unknown policy 'interactoin' .did you mean 'interaction'"):
        policy_class("interactoin")


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (InteractionConfig, {"hidden": 0}),
        (SetTransformerConfig, {"hidden": 30}),
        (MLPConfig, {"hidden": -1}),
        (MLPConfig, {"chunk": 0}),
        (CNNConfig, {"shift": -1}),
        (CNNConfig, {"colour": 1.5}),
        (CNNConfig, {"rotation": float("nan")}),
    ],
)
def test_impossible_options(config: Any, values: dict[str, int]) -> None:
    with pytest.raises(UserError, match="the policy option"):
        config(**values)
