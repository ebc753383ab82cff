"""The interaction network as a features extractor, for every algorithm of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.policies.base import PolicyConfig
from mint_rl.policies.interaction import InteractionConfig
from mint_rl.policies.registry import policy_class

NODES, MASK = "nodes", "mask"


class KeypointExtractor(BaseFeaturesExtractor):
    """What `KeypointObs` observes → features, for `MlpPolicy` and `MultiInputPolicy`.

        PPO("MlpPolicy", env, policy_kwargs={"features_extractor_class": KeypointExtractor})

    It reads `Box((K, 3 + D))`, the `Box((T, K, 3 + D))` that `FrameStackObservation` makes of it, or a `Dict`
    (`KeypointObs(format="dict")`) with such a box as "nodes". The other entries of the `Dict` are flattened,
    images go through Stable-Baselines3's CNN, and all of it follows the keypoints' features; "mask" says
    nothing that the nodes' status does not, and is left out. Coordinates in any units are brought to [0, 1]
    by the bounds of the space.

    Args:
        observation_space: What the environment observes.
        config: The network's options: an `InteractionConfig` (the default) or, for the control without a
            graph, an `MLPConfig`; in `policy_kwargs` under `"features_extractor_kwargs": {"config": …}`.

    Raises:
        UserError: The space holds no keypoints, or ones without bounds.
    """

    lowest: Tensor
    span: Tensor

    def __init__(self, observation_space: spaces.Space[Any], config: PolicyConfig | None = None) -> None:
        config = InteractionConfig() if config is None else config
        nodes, rest = _parts(observation_space)
        stacked = nodes if len(nodes.shape) == 3 else batch_space(nodes, 1)
        network = policy_class(config.name).network_class(stacked, config)  # type: ignore[arg-type]
        others = CombinedExtractor(spaces.Dict(rest)) if rest else None
        super().__init__(observation_space, network.features_dim + (others.features_dim if others else 0))
        self.network = network
        self.others = others
        low, high = _bounds(nodes)
        self.register_buffer("lowest", torch.as_tensor(low), persistent=False)
        self.register_buffer("span", torch.as_tensor(high - low), persistent=False)

    def forward(self, observations: Tensor | dict[str, Tensor]) -> Tensor:
        """Features (B, features_dim)."""
        nodes = observations[NODES] if isinstance(observations, dict) else observations
        places = (nodes[..., :2] - self.lowest) / self.span
        nodes = torch.cat([places, nodes[..., 2:]], dim=-1)
        # The network reads stacks of frames: a single one is a stack of one.
        features: Tensor = self.network(nodes if nodes.ndim == 4 else nodes[:, None])
        if self.others is None:
            return features
        return torch.cat([features, self.others(observations)], dim=-1)


def _parts(space: spaces.Space[Any]) -> tuple[spaces.Box, dict[str, spaces.Space[Any]]]:
    """The space of the nodes, and those of all else that is read."""
    rest: dict[str, spaces.Space[Any]] = {}
    nodes = space
    if isinstance(space, spaces.Dict):
        if NODES not in space.spaces:
            raise UserError(
                f"the observations are a Dict of {', '.join(space.spaces)}, without '{NODES}': wrap the "
                'environment as KeypointObs(env, format="dict")'
            )
        nodes = space[NODES]
        rest = {key: part for key, part in space.spaces.items() if key not in (NODES, MASK)}
    if not isinstance(nodes, spaces.Box):
        raise UserError(
            f"KeypointExtractor reads keypoints in a Box or a Dict, not {type(nodes).__name__}: wrap the "
            'environment as KeypointObs(env, format="box") or "dict"'
        )
    return nodes, rest


def _bounds(nodes: spaces.Box) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The lowest and highest x, y."""
    low, high = nodes.low[..., :2].reshape(-1, 2)[0], nodes.high[..., :2].reshape(-1, 2)[0]
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (high > low).all()):
        raise UserError(
            f"the space of the keypoints gives x, y the bounds {low} to {high}; they must be finite"
        )
    return low, high
