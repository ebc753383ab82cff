"""Graphs over keypoints: every keypoint is a node, every ordered pair of keypoints an edge."""

from __future__ import annotations

import torch
from torch import Tensor


def fully_connected(num_nodes: int) -> Tensor:
    """Edges of the fully connected directed graph without loops, one list for a whole batch.

    Returns an int64 tensor of shape (2, K·(K−1)): row 0 holds senders, row 1 receivers (torch-geometric's
    `edge_index`). Edges are grouped by receiver, and each group lists its senders in ascending order, so
    messages (…, K·(K−1), F) can be viewed as (…, K, K−1, F).
    """
    if num_nodes < 2:
        raise ValueError(f"a graph with edges needs at least 2 nodes, got {num_nodes}")
    receivers = torch.arange(num_nodes).repeat_interleave(num_nodes)
    senders = torch.arange(num_nodes).repeat(num_nodes)
    different = senders != receivers
    return torch.stack([senders[different], receivers[different]])
