"""What all policies share: configuration, the network behind a policy, and the Stable-Baselines3 policy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.options import option


@dataclass
class PolicyConfig:
    """Options of a policy's network; one subclass beside each policy."""

    name: str = ""  # which policy: see mint_rl.policies.registry
    chunk: int = option(1, "actions predicted at a time, the present one and those to follow")

    def __post_init__(self) -> None:
        require_positive(self, "chunk")


@dataclass
class PolicyContext:
    """What a policy was trained for: with it a checkpoint can be run again without further arguments."""

    env_id: str  # gymnasium id, such as "magical/MoveToCorner-Demo-v0"
    env_kwargs: dict[str, Any]  # what gym.make was given beside the id
    encoder: KeypointEncoder | None = None  # None: the policy sees pixels
    encoder_name: str = ""  # where the encoder came from, for people
    temperature: float = 0.5  # of the sampling of its actions, unless told otherwise; 0: the most likely
    chunk: int = 1  # actions that it takes before it looks again, unless told otherwise


class Reading(NamedTuple):
    """What a network makes of stacked observations."""

    features: Tensor  # (B, features_dim), which the action and value heads read
    following: Tensor | None = None  # (B, K, 3) the next keypoints, by the dynamics head, if there is one
    # (B, 4) the robot's pose, where the network has a frame of reference: x and y on the picture, in [−1, 1],
    # and a vector along its heading there.
    pose: Tensor | None = None


class Plan(NamedTuple):
    """What a policy is about to do, and what its network knows beside."""

    logits: Tensor  # (B, C, A) of the present action and the C − 1 to follow
    following: Tensor | None  # as in `Reading`
    pose: Tensor | None


class ImitationNetwork(BaseFeaturesExtractor):
    """From stacked observations to the features that the action head reads.

    A Stable-Baselines3 features extractor: it can be used in `MlpPolicy` of any algorithm through
    `policy_kwargs={"features_extractor_class": …, "features_extractor_kwargs": {"config": …}}`.
    """

    def forward(self, observations: Tensor) -> Tensor:
        """Features (B, features_dim) of observations (B, T, …)."""
        return self.read(observations).features

    @abstractmethod
    def read(self, observations: Tensor) -> Reading:
        """Features of observations (B, T, …), and what else the network tells of them."""

    def fit_inputs(self, frames: Tensor) -> None:
        """Take what normalising the input needs from the training set's frames (N, …). By default nothing."""


class ImitationPolicy(ActorCriticPolicy):
    """A Stable-Baselines3 policy whose network is described by one configuration dataclass.

    Actor and critic share the network; the action head and the value head are linear. Behaviour cloning
    trains the action head and, where there is one, the dynamics head; reinforcement learning trains action
    and value:

        PPO(KeypointPolicy, env, policy_kwargs={"config": InteractionConfig(hidden=32)})

    Raises `UserError` if the observation space is not what the network reads.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[PolicyConfig]]
    network_class: ClassVar[type[ImitationNetwork]]

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Callable[[float], float] = lambda _: 1e-3,
        config: PolicyConfig | None = None,
        **options: Any,
    ) -> None:
        self.config = self.config_class() if config is None else config
        self.context: PolicyContext | None = None
        # The networks set their own initial weights; observations are normalised inside them.
        defaults = {"net_arch": [], "ortho_init": False, "normalize_images": False}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=self.network_class,
            features_extractor_kwargs={"config": self.config},
            **{**defaults, **options},
        )
        self.later_net: nn.Linear | None = None
        if self.config.chunk > 1:
            assert isinstance(self.action_net, nn.Linear)
            later = (self.config.chunk - 1) * self.action_net.out_features
            self.later_net = nn.Linear(self.network.features_dim, later)

    @property
    def network(self) -> ImitationNetwork:
        """The network below the action and value heads."""
        assert isinstance(self.features_extractor, ImitationNetwork)
        return self.features_extractor

    def imitate(self, observations: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (B, A) of the discrete actions, and the predicted next keypoints (B, K, 3) or None."""
        logits, following, _ = self.plan(observations)
        return logits[:, 0], following

    def plan(self, observations: Tensor) -> Plan:
        """The present action and those to follow, and what the network tells beside."""
        features, following, pose = self.network.read(observations)
        logits: Tensor = self.action_net(self.mlp_extractor.forward_actor(features))[:, None]
        if self.later_net is not None:
            later = self.later_net(features).unflatten(1, (-1, logits.shape[-1]))
            logits = torch.cat([logits, later], dim=1)
        return Plan(logits, following, pose)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        """What Stable-Baselines3 needs to build the policy again."""
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "config": self.config,
        }


def config_from_dict(config_class: type[PolicyConfig], values: dict[str, Any], where: str) -> PolicyConfig:
    """The configuration that `asdict` wrote; `UserError` names a field that is unknown or wrong."""
    known = {field.name for field in fields(config_class)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"unknown option '{unknown[0]}' in {where}; known: {', '.join(sorted(known))}")
    for key, default in asdict(config_class()).items():
        given = values.get(key, default)
        number = isinstance(default, float) and isinstance(given, int) and not isinstance(given, bool)
        if type(given) is not type(default) and not number:
            raise UserError(
                f"the option '{key}' in {where} must be of type {type(default).__name__}, got {given!r}"
            )
    return config_class(**values)


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them and none after the last."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def require_positive(config: PolicyConfig, *names: str) -> None:
    """`UserError` unless each named option is above 0."""
    for name in names:
        if getattr(config, name) <= 0:
            raise UserError(f"the policy option '{name}' must be above 0, got {getattr(config, name)}")
