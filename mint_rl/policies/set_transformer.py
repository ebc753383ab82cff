"""The set transformer on keypoints: the control that replaces the graph's messages by attention.

Lee et al. 2019, "Set Transformer": self-attention among K tokens, one a keypoint. Input, identities, readout
and dynamics head are those of the interaction network; what the tokens tell each other is weighted by their
own likeness, with no edges: relative positions are known only as far as attention can compute them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gymnasium import spaces
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.options import option
from mint_rl.policies.base import ImitationPolicy, require_positive
from mint_rl.policies.node_network import NodeNetwork, NodeNetworkConfig


@dataclass
class SetTransformerConfig(NodeNetworkConfig):
    """The options of the set transformer."""

    name: str = "set-transformer"
    rounds: int = option(1, "layers of attention")
    heads: int = option(4, "heads of attention; they share the features of a node")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "rounds", "heads")
        if self.hidden % self.heads:
            raise UserError(
                f"the policy option 'hidden' must be a multiple of 'heads' ({self.heads}), got {self.hidden}"
            )


class SetTransformerNetwork(NodeNetwork):
    """Stacked keypoints (B, T, K, 3 + D) → features (B, F) and next keypoints (B, K, 3), by attention."""

    def __init__(self, observation_space: spaces.Space[Any], config: SetTransformerConfig) -> None:
        layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.hidden,
                config.heads,
                dim_feedforward=2 * config.hidden,
                dropout=0.0,
                batch_first=True,
            )
            for _ in range(config.rounds)
        )
        super().__init__(observation_space, config, layers)

    def relate(self, nodes: Tensor, poses: Tensor) -> Tensor:
        for layer in self.layers:
            nodes = layer(nodes)
        return nodes


class SetTransformerPolicy(ImitationPolicy):
    """Set transformer over keypoints: `FrameStackObservation(KeypointObs(env, descriptors=True), 4)`."""

    name = "set-transformer"
    config_class = SetTransformerConfig
    network_class = SetTransformerNetwork
