"""What the interaction network and the set transformer share: nodes that keep their identity to the end."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.options import option
from mint_rl.policies.base import ImitationNetwork, Reading, mlp, require_positive
from mint_rl.policies.node_features import POSE, KeypointPolicyConfig, NodeFeatures, keypoint_layout


@dataclass
class NodeNetworkConfig(KeypointPolicyConfig):
    """The options of networks that hold one vector a keypoint."""

    hidden: int = option(32, "features of a node between the layers")
    readout_per_node: int = option(32, "features that each keypoint hands to the readout")
    readout_hidden: int = option(256, "width of the readout's hidden layer")
    features: int = option(128, "what the action and value heads read")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "hidden", "readout_per_node", "readout_hidden", "features")


class NodeNetwork(ImitationNetwork):
    """Stacked keypoints (B, T, K, 3 + D) → features (B, F) and next keypoints (B, K, 3).

    Each keypoint is a node with a learned identity. What the nodes tell each other is a subclass's `relate`.
    The readout keeps the identities: every node hands over a few features, side by side, since pooling over
    the nodes costs much of the score.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], config: NodeNetworkConfig, layers: nn.ModuleList
    ) -> None:
        frames, keypoints, descriptor_dim = keypoint_layout(observation_space)
        super().__init__(observation_space, features_dim=config.features)
        self.inputs = NodeFeatures(
            frames, descriptor_dim, config.differences, keypoints if config.frame else 0
        )
        self.embed = nn.Linear(self.inputs.features, config.hidden)
        self.identity = nn.Parameter(0.3 * torch.randn(keypoints, config.hidden))
        self.norm = nn.LayerNorm(config.hidden)
        self.layers = layers
        self.per_node = nn.Linear(config.hidden, config.readout_per_node)
        self.readout = nn.Sequential(
            mlp(keypoints * config.readout_per_node, config.readout_hidden, config.features), nn.ReLU()
        )
        self.dynamics = nn.Linear(config.hidden, POSE)
        # Before training, the next keypoints are predicted to be where they are.
        nn.init.zeros_(self.dynamics.weight)
        nn.init.zeros_(self.dynamics.bias)

    @abstractmethod
    def relate(self, nodes: Tensor, poses: Tensor) -> Tensor:
        """Nodes (B, K, hidden) after they have exchanged what they know; all are treated alike.

        poses: x, y and status (B, K, 3) of the last frame.
        """

    def nodes(self, observations: Tensor) -> tuple[Tensor, Tensor | None]:
        """Node embeddings (B, K, hidden) after the layers, and the pose, as in `Reading`."""
        inputs, pose = self.inputs.with_pose(observations)
        embedded = torch.relu(self.embed(inputs))
        return self.relate(self.norm(embedded + self.identity), observations[:, -1, :, :POSE]), pose

    def read(self, observations: Tensor) -> Reading:
        nodes, pose = self.nodes(observations)
        features = self.readout(torch.relu(self.per_node(nodes)).flatten(1))
        return Reading(features, observations[:, -1, :, :POSE] + self.dynamics(nodes), pose)

    def fit_inputs(self, frames: Tensor) -> None:
        self.inputs.fit(frames)
