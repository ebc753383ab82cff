"""One interaction step on a fully connected graph, as a torch-geometric `MessagePassing` layer.

Battaglia et al. 2016, "Interaction networks"; MINT, appendix E.4. This module imports torch-geometric, which
takes about two seconds: import it where the layer is built, not at the top of a module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing


class InteractionLayer(MessagePassing):  # type: ignore[misc]  # torch-geometric ships no usable types
    r"""Messages between all nodes, then a residual update of each node and layer normalisation.

    The relational model is a two-layer network of sender, receiver, relative position, distance and both
    ends' status, the object model a two-layer network of the node and the effect on it:

        e_ij = relu(W_s z_j + W_r z_i + W_p (p_j − p_i) + w_d |p_j − p_i| + u_s s_j + u_r s_i + b)
        a_i  = relu(W_a Σ_j e_ij / √(K−1))                                         effect on i
        z'_i = LayerNorm(z_i + W_2 relu(W_1 [z_i, a_i]))                           update

    e_ij is the message from j to i. The status is what it can be silenced by: an inactive keypoint's place
    means nothing.

    What makes it fast on a CPU, six to eight times against a network on concatenated edges, with the same
    family of functions: all matrices act on the K nodes before these are gathered (W_p too, since the
    relative position is a difference) or after the sum (W_a, being linear), so what remains for each of the
    K·(K−1) edges is elementwise, and is done in place.

    `grouped` promises that every `edge_index` given is that of `fully_connected(num_nodes)`: its messages lie
    grouped by receiver, so they are summed along an axis instead of scattered.

    Shapes:
        nodes (B, K, F), poses (B, K, 3) of x, y and status, edge_index (2, E) → (B, K, F); the batch shares
        the graph.
    """

    def __init__(self, num_nodes: int, features: int, grouped: bool = False) -> None:
        super().__init__(aggr="sum", node_dim=-2)
        self.num_nodes = num_nodes
        self.features = features
        self.grouped = grouped
        self.sender = nn.Linear(features, features)
        self.receiver = nn.Linear(features, features, bias=False)
        self.offset = nn.Linear(2, features, bias=False)
        self.distance = nn.Parameter(torch.empty(features))
        self.sender_status = nn.Parameter(torch.empty(features))
        self.receiver_status = nn.Parameter(torch.empty(features))
        self.effect = nn.Linear(features, features)
        self.update_node = nn.Sequential(
            nn.Linear(2 * features, features), nn.ReLU(), nn.Linear(features, features)
        )
        self.norm = nn.LayerNorm(features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The library's initial weights for the linear layers; distance and status start like more inputs."""
        super().reset_parameters()
        for layer in (self.sender, self.receiver, self.offset, self.effect, *self.update_node, self.norm):
            if isinstance(layer, nn.Linear | nn.LayerNorm):
                layer.reset_parameters()
        for parameter in (self.distance, self.sender_status, self.receiver_status):
            nn.init.uniform_(parameter, -0.5, 0.5)

    def forward(self, nodes: Tensor, poses: Tensor, edge_index: Tensor) -> Tensor:
        positions, status = poses[..., :2], poses[..., 2:]
        placed = self.offset(positions)
        sent = self.sender(nodes) + placed + status * self.sender_status
        received = self.receiver(nodes) - placed + status * self.receiver_status
        # torch-geometric reads this call from the source: it has to stay literal and plain.
        incoming = self.propagate(edge_index, sent=sent, received=received, positions=positions)
        effects = torch.relu(self.effect(incoming / max(1, self.num_nodes - 1) ** 0.5))
        updated: Tensor = self.norm(nodes + self.update_node(torch.cat([nodes, effects], dim=-1)))
        return updated

    def message(self, sent_j: Tensor, received_i: Tensor, positions_i: Tensor, positions_j: Tensor) -> Tensor:
        distances = (positions_j - positions_i).norm(dim=-1, keepdim=True)
        # In place: `sent_j` was gathered for this call, and new memory costs more than the arithmetic.
        return sent_j.add_(received_i).addcmul_(distances, self.distance).relu_()

    def aggregate(self, inputs: Tensor, index: Tensor, dim_size: int | None = None) -> Tensor:
        if self.grouped:
            by_receiver = inputs.view(*inputs.shape[:-2], self.num_nodes, self.num_nodes - 1, self.features)
            return by_receiver.sum(dim=-2)
        summed: Tensor = super().aggregate(inputs, index, dim_size=dim_size)
        return summed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_nodes={self.num_nodes}, features={self.features})"
