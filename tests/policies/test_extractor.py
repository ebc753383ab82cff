"""Keypoints in Stable-Baselines3: the features extractor with PPO, A2C and DQN, and clones as PPO's start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3 import A2C, DQN, PPO
from torch import Tensor

from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.errors import UserError
from mint_rl.policies.checkpoint import load_policy, save_policy
from mint_rl.policies.extractor import KeypointExtractor
from mint_rl.policies.interaction import InteractionConfig, KeypointPolicy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy

K, D, T = 5, 2, 3
SMALL = InteractionConfig(hidden=8, readout_per_node=4, readout_hidden=16, features=16)
ALGORITHMS = {
    "PPO": (PPO, {"n_steps": 8, "batch_size": 8, "n_epochs": 2}, 16),
    "A2C": (A2C, {"n_steps": 4}, 12),
    "DQN": (DQN, {"learning_starts": 8, "train_freq": 4, "batch_size": 8, "buffer_size": 50}, 20),
}


def as_dict(nodes: spaces.Box) -> spaces.Dict:
    """What `KeypointObs(format="dict")` observes of an environment that also measures three speeds."""
    mask = spaces.MultiBinary(nodes.shape[0])
    return spaces.Dict({"nodes": nodes, "mask": mask, "speeds": spaces.Box(-1, 1, (3,), np.float32)})


SPACES: dict[str, tuple[str, spaces.Space[Any]]] = {
    "box": ("MlpPolicy", keypoint_space(K, D)),
    "stacked box": ("MlpPolicy", batch_space(keypoint_space(K, D), T)),
    "dict": ("MultiInputPolicy", as_dict(keypoint_space(K, D))),
    "stacked dict": ("MultiInputPolicy", batch_space(as_dict(keypoint_space(K, D)), T)),
}


class Sampled(gym.Env[Any, int]):
    """Observes random elements of a space; the reward is 1 for the first action."""

    def __init__(self, space: spaces.Space[Any], actions: int = 4) -> None:
        self.observation_space = space
        self.action_space = spaces.Discrete(actions)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.observation_space.sample(), float(action == 0), self.steps == 5, False, {}


def weights(model: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_it_and_saves_it(algorithm: str, space: str, tmp_path: Path) -> None:
    cls, options, steps = ALGORITHMS[algorithm]
    policy, observations = SPACES[space]
    model = cls(
        policy, Sampled(observations), seed=0, device="cpu", **options,
        policy_kwargs={
            "features_extractor_class": KeypointExtractor,
            "features_extractor_kwargs": {"config": SMALL},
        },
    )  # fmt: skip
    before = weights(model)
    model.learn(steps)
    changed = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    # The layers of the graph network are among what has learned.
    assert any("features_extractor.network.layers.0" in name for name in changed)
    model.save(tmp_path / "model")
    again = cls.load(tmp_path / "model", device="cpu")
    for name, value in weights(again).items():
        assert torch.equal(value, weights(model)[name]), name
    seen, _ = Sampled(observations).reset(seed=1)
    assert again.predict(seen, deterministic=True)[0] == model.predict(seen, deterministic=True)[0]


def test_all_of_a_dict_reaches_the_features() -> None:
    _, space = SPACES["dict"]
    torch.manual_seed(0)
    extractor = KeypointExtractor(space, SMALL)
    assert extractor.features_dim == SMALL.features + 3
    seen = {"nodes": torch.rand(2, K, 3 + D), "mask": torch.ones(2, K), "speeds": torch.rand(2, 3)}
    features = extractor(seen)
    assert torch.equal(features[:, -3:], seen["speeds"])
    assert torch.equal(features[:, :-3], extractor.network(seen["nodes"][:, None]))


def test_units_of_the_coordinates_do_not_matter() -> None:
    unit, pixels = keypoint_space(K, D), keypoint_space(K, D)
    pixels.low[:, :2], pixels.high[:, :2] = 0.0, (63.0, 95.0)
    extractors = []
    for space in (unit, pixels):
        torch.manual_seed(0)
        extractors.append(KeypointExtractor(space, SMALL))
    seen = torch.rand(2, K, 3 + D)
    scaled = torch.cat([seen[..., :2] * torch.tensor([63.0, 95.0]), seen[..., 2:]], dim=-1)
    torch.testing.assert_close(extractors[0](seen), extractors[1](scaled))


def test_the_network_without_a_graph_is_an_option() -> None:
    extractor = KeypointExtractor(keypoint_space(K), MLPConfig(hidden=8))
    assert extractor(torch.rand(2, K, 3)).shape == (2, 8)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (spaces.Dict({"image": spaces.Box(0, 1, (4,))}), "a Dict of image, without 'nodes'"),
        (spaces.Graph(keypoint_space(K), None), r"not Graph: wrap .* format=\"box\""),
        (spaces.Box(0, 255, (96, 96, 3), np.uint8), "FrameStackObservation"),
        (spaces.Box(-np.inf, np.inf, (K, 3), np.float32), "they must be finite"),
        (spaces.Box(0, 1, (K, 2), np.float32), "x, y and status"),
    ],
)
def test_other_observations_are_refused(space: spaces.Space[Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        KeypointExtractor(space)


@pytest.mark.parametrize("load", ["load_state_dict", "set_parameters"])
@pytest.mark.parametrize(
    ("cls", "config"), [(KeypointPolicy, SMALL), (MLPKeypointPolicy, MLPConfig(hidden=8))]
)
def test_a_clone_is_the_start_of_ppo(cls: Any, config: Any, load: str, tmp_path: Path) -> None:
    space = batch_space(keypoint_space(K, D), T)
    torch.manual_seed(1)
    trained = cls(space, spaces.Discrete(4), config=config)
    trained.network.fit_inputs(torch.randn(20, K, 3 + D))
    save_policy(trained, tmp_path / "run" / "policy")

    clone = load_policy(tmp_path / "run")
    model = PPO(
        type(clone), Sampled(space), policy_kwargs={"config": clone.config}, n_steps=8, batch_size=8,
        n_epochs=1, seed=0, device="cpu",
    )  # fmt: skip
    if load == "set_parameters":
        model.set_parameters({"policy": clone.state_dict()}, exact_match=False)
    else:
        model.policy.load_state_dict(clone.state_dict())

    seen = torch.as_tensor(np.stack([space.sample() for _ in range(6)]))
    wanted = clone.get_distribution(seen).distribution.probs
    assert torch.equal(model.policy.get_distribution(seen).distribution.probs, wanted)
    model.learn(8)
    assert not torch.equal(model.policy.get_distribution(seen).distribution.probs, wanted)
    model.save(tmp_path / "ppo")
    again = PPO.load(tmp_path / "ppo", device="cpu")
    assert torch.equal(
        again.policy.get_distribution(seen).distribution.probs,
        model.policy.get_distribution(seen).distribution.probs,
    )
