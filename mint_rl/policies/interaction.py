"""The interaction network on keypoints, and the policy made of it.

Keypoints are the nodes of a fully connected graph. What differs from the paper's network (appendix E.4):
edges know the relative position and the status of their nodes; updates are residual with layer
normalisation; every keypoint has a learned identity in place of a positional code, and the readout keeps it,
since pooling over the nodes costs much of the score; the descriptors of the current frame are node features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.options import option
from mint_rl.policies.base import ImitationPolicy, require_positive
from mint_rl.policies.graph import fully_connected
from mint_rl.policies.node_features import keypoint_layout
from mint_rl.policies.node_network import NodeNetwork, NodeNetworkConfig


@dataclass
class InteractionConfig(NodeNetworkConfig):
    """The options of the interaction network."""

    name: str = "interaction"
    rounds: int = option(1, "interaction steps; the paper makes one")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "rounds")


class InteractionNetwork(NodeNetwork):
    """Stacked keypoints (B, T, K, 3 + D) → features (B, F) and next keypoints (B, K, 3), over a graph."""

    edge_index: Tensor

    def __init__(self, observation_space: spaces.Space[Any], config: InteractionConfig) -> None:
        _, keypoints, _ = keypoint_layout(observation_space)
        from mint_rl.policies.interaction_layer import InteractionLayer  # torch-geometric: two seconds

        layers = nn.ModuleList(
            InteractionLayer(keypoints, config.hidden, grouped=True) for _ in range(config.rounds)
        )
        super().__init__(observation_space, config, layers)
        self.register_buffer("edge_index", fully_connected(keypoints), persistent=False)

    def relate(self, nodes: Tensor, poses: Tensor) -> Tensor:
        # Offsets from units of [0, 1] to those of [−1, 1] that the nodes are in.
        poses = poses * poses.new_tensor([2.0, 2.0, 1.0])
        for layer in self.layers:
            nodes = layer(nodes, poses, self.edge_index)
        return nodes


class KeypointPolicy(ImitationPolicy):
    """Interaction network over keypoints: `FrameStackObservation(KeypointObs(env, descriptors=True), 4)`."""

    name = "interaction"
    config_class = InteractionConfig
    network_class = InteractionNetwork
