"""The interaction network on keypoints, and the policy made of it.

Keypoints are the nodes of a fully connected graph. What differs from the paper's network (appendix E.4):
edges know the relative position of their nodes; updates are residual with layer normalisation; every keypoint
has a learned identity in place of a positional code, and the readout keeps it, since pooling over the nodes
costs much of the score; the descriptors of the current frame are node features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.options import option
from mint_rl.policies.base import ImitationNetwork, ImitationPolicy, PolicyConfig, mlp, require_positive
from mint_rl.policies.graph import fully_connected
from mint_rl.policies.node_features import POSE, NodeFeatures, keypoint_layout


@dataclass
class InteractionConfig(PolicyConfig):
    """The options of the interaction network."""

    name: str = "interaction"
    hidden: int = option(32, "features of a node between the layers")
    rounds: int = option(1, "interaction steps; the paper makes one")
    readout_per_node: int = option(8, "features that each keypoint hands to the readout")
    readout_hidden: int = option(128, "width of the readout's hidden layer")
    features: int = option(64, "what the action and value heads read")

    def __post_init__(self) -> None:
        require_positive(self, "hidden", "rounds", "readout_per_node", "readout_hidden", "features")


class InteractionNetwork(ImitationNetwork):
    """Stacked keypoints (B, T, K, 3 + D) → features (B, F) and next keypoints (B, K, 3)."""

    edge_index: Tensor

    def __init__(self, observation_space: spaces.Space[Any], config: InteractionConfig) -> None:
        frames, keypoints, descriptor_dim = keypoint_layout(observation_space)
        super().__init__(observation_space, features_dim=config.features)
        from mint_rl.policies.interaction_layer import InteractionLayer  # torch-geometric: two seconds

        self.inputs = NodeFeatures(frames, descriptor_dim)
        self.register_buffer("edge_index", fully_connected(keypoints), persistent=False)
        self.embed = nn.Linear(self.inputs.features, config.hidden)
        self.identity = nn.Parameter(0.3 * torch.randn(keypoints, config.hidden))
        self.norm = nn.LayerNorm(config.hidden)
        self.layers = nn.ModuleList(
            InteractionLayer(keypoints, config.hidden, grouped=True) for _ in range(config.rounds)
        )
        self.per_node = nn.Linear(config.hidden, config.readout_per_node)
        self.readout = nn.Sequential(
            mlp(keypoints * config.readout_per_node, config.readout_hidden, config.features), nn.ReLU()
        )
        self.dynamics = nn.Linear(config.hidden, POSE)
        # Before training, the next keypoints are predicted to be where they are.
        nn.init.zeros_(self.dynamics.weight)
        nn.init.zeros_(self.dynamics.bias)

    def nodes(self, observations: Tensor) -> Tensor:
        """Node embeddings (B, K, hidden) after the interaction steps."""
        embedded = torch.relu(self.embed(self.inputs(observations)))
        return self.interact(self.norm(embedded + self.identity), observations[:, -1, :, :2])

    def interact(self, nodes: Tensor, positions: Tensor) -> Tensor:
        """The interaction steps alone; they treat all nodes alike (permutation equivariance)."""
        for layer in self.layers:
            # From [0, 1] to the units of [−1, 1] that the nodes are in.
            nodes = layer(nodes, 2 * positions, self.edge_index)
        return nodes

    def with_dynamics(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        nodes = self.nodes(observations)
        features = self.readout(torch.relu(self.per_node(nodes)).flatten(1))
        return features, observations[:, -1, :, :POSE] + self.dynamics(nodes)

    def fit_inputs(self, frames: Tensor) -> None:
        self.inputs.fit(frames)


class KeypointPolicy(ImitationPolicy):
    """Interaction network over keypoints: `FrameStackObservation(KeypointObs(env, descriptors=True), 4)`."""

    name = "interaction"
    config_class = InteractionConfig
    network_class = InteractionNetwork
