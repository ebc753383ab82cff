"""The flat multi-layer perceptron on keypoints: the control that shows what the graph is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.options import option
from mint_rl.policies.base import ImitationNetwork, ImitationPolicy, Reading, mlp, require_positive
from mint_rl.policies.node_features import POSE, KeypointPolicyConfig, NodeFeatures, keypoint_layout


@dataclass
class MLPConfig(KeypointPolicyConfig):
    """The options of the flat network."""

    name: str = "mlp"
    hidden: int = option(256, "width of both hidden layers")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "hidden")


class FlatNetwork(ImitationNetwork):
    """Stacked keypoints (B, T, K, 3 + D) → features (B, hidden), next keypoints (B, K, 3); no graph."""

    def __init__(self, observation_space: spaces.Space[Any], config: MLPConfig) -> None:
        frames, keypoints, descriptor_dim = keypoint_layout(observation_space)
        super().__init__(observation_space, features_dim=config.hidden)
        self.inputs = NodeFeatures(
            frames, descriptor_dim, config.differences, keypoints if config.frame else 0
        )
        self.trunk = nn.Sequential(
            mlp(keypoints * self.inputs.features, config.hidden, config.hidden), nn.ReLU()
        )
        self.dynamics = nn.Linear(config.hidden, keypoints * POSE)
        nn.init.zeros_(self.dynamics.weight)
        nn.init.zeros_(self.dynamics.bias)

    def read(self, observations: Tensor) -> Reading:
        nodes, pose = self.inputs.with_pose(observations)
        features = self.trunk(nodes.flatten(1))
        current = observations[:, -1, :, :POSE]
        return Reading(features, current + self.dynamics(features).view_as(current), pose)

    def fit_inputs(self, frames: Tensor) -> None:
        self.inputs.fit(frames)


class MLPKeypointPolicy(ImitationPolicy):
    """Flat network over keypoints: `FrameStackObservation(KeypointObs(env, descriptors=True), 4)`."""

    name = "mlp"
    config_class = MLPConfig
    network_class = FlatNetwork
