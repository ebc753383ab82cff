"""Graphs over keypoints: every keypoint is a node; edges join all of them, or each with its nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import Keypoints

if TYPE_CHECKING:
    from gymnasium.spaces import GraphInstance
    from torch_geometric.data import Batch, Data

_POSE = 3  # x, y, status come first in the features of a node
_ACTIVE = 0.5  # a keypoint is active where its status is above this
_EXACT = "donot_use_mm_for_euclid_dist"  # the matrix product rounds differences of close points away


def to_data(
    keypoints: NDArray[Any] | Tensor | Keypoints | GraphInstance,
    neighbours: int | None = None,
    drop_inactive: bool = False,
) -> Data:
    """The keypoints of one frame as a torch-geometric `Data`.

    Args:
        keypoints: (K, 3 + D): x, y, status and any descriptors, as an array or a tensor, whose gradient and
            device are kept; or `Keypoints`; or the `GraphInstance` that `KeypointObs(format="graph")` gives.
        neighbours: Join each keypoint with so many nearest ones, whose messages it receives; with all others
            if there are fewer. None joins every ordered pair. Of equally near ones those with the lower index
            are taken.
        drop_inactive: Leave out keypoints whose status is not above 0.5; edges join those that are left.

    Returns:
        `Data` of n ≤ K nodes with `x` (n, 3 + D), all features; `pos` (n, 2); `status` (n,); `keypoint` (n,)
        int64, which of the K each node is; `edge_index` (2, E) int64, senders above receivers, without loops.

    Raises:
        UserError: Keypoints of another shape, or `neighbours` below 1.
    """
    from torch_geometric.data import Data  # two seconds

    features = _features(keypoints)
    if features.ndim != 2 or features.shape[-1] < _POSE:
        raise UserError(
            f"to_data reads the keypoints of one frame, (K, 3 + D), not {tuple(features.shape)}; "
            "to_batch reads those of several, (B, K, 3 + D)"
        )
    if neighbours is not None and neighbours < 1:
        raise UserError(f"neighbours is {neighbours}; it must be at least 1, or None for all")
    index = torch.arange(len(features), device=features.device)
    if drop_inactive:
        index = index[features[:, 2] > _ACTIVE]
        features = features[index]
    positions = features[:, :2]
    return Data(
        x=features,
        pos=positions,
        status=features[:, 2],
        keypoint=index,
        edge_index=_complete(len(features), features.device)
        if neighbours is None
        else nearest(positions, neighbours),
    )


def to_batch(
    keypoints: NDArray[Any] | Tensor | Keypoints,
    neighbours: int | None = None,
    drop_inactive: bool = False,
) -> Batch:
    """The keypoints of B frames, (B, K, 3 + D), as a torch-geometric `Batch` of the graphs of `to_data`."""
    from torch_geometric.data import Batch

    features = _features(keypoints)
    if features.ndim != 3 or len(features) == 0:
        raise UserError(
            f"to_batch reads the keypoints of frames, (B, K, 3 + D) with B ≥ 1, not {tuple(features.shape)}"
        )
    return Batch.from_data_list([to_data(frame, neighbours, drop_inactive) for frame in features])


def fully_connected(num_nodes: int) -> Tensor:
    """Edges of the fully connected directed graph without loops, one list for a whole batch.

    Returns an int64 tensor of shape (2, K·(K−1)): row 0 holds senders, row 1 receivers (torch-geometric's
    `edge_index`). Edges are grouped by receiver, and each group lists its senders in ascending order, so
    messages (…, K·(K−1), F) can be viewed as (…, K, K−1, F).
    """
    if num_nodes < 2:
        raise ValueError(f"a graph with edges needs at least 2 nodes, got {num_nodes}")
    return _complete(num_nodes, torch.device("cpu"))


def nearest(positions: Tensor, neighbours: int) -> Tensor:
    """Edges to every node from those nearest to it: (n, 2) → (2, n·min(neighbours, n − 1)) int64.

    Grouped by receiver, nearest first; of equally near ones the lower index first.
    """
    number = len(positions)
    distances = torch.cdist(positions.detach(), positions.detach(), compute_mode=_EXACT)
    distances.fill_diagonal_(torch.inf)
    kept = min(neighbours, max(number - 1, 0))
    senders = distances.argsort(dim=1, stable=True)[:, :kept]
    receivers = torch.arange(number, device=positions.device).repeat_interleave(kept)
    return torch.stack([senders.flatten(), receivers])


def _complete(number: int, device: torch.device) -> Tensor:
    receivers = torch.arange(number, device=device).repeat_interleave(number)
    senders = torch.arange(number, device=device).repeat(number)
    different = senders != receivers
    return torch.stack([senders[different], receivers[different]])


def _features(keypoints: Any) -> Tensor:
    if isinstance(keypoints, Keypoints):
        return keypoints.to_tensor()
    return torch.as_tensor(np.asarray(keypoints.nodes) if hasattr(keypoints, "nodes") else keypoints)
