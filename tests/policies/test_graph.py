"""Keypoints as torch-geometric graphs: nodes, edges, batches, and keypoints that are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import GraphInstance
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn import GINConv

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import Keypoints
from mint_rl.policies.graph import nearest, to_batch, to_data

K, D = 7, 4


@pytest.fixture
def keypoints() -> Tensor:
    return torch.rand(3, K, 3 + D, generator=torch.Generator().manual_seed(0))


def pairs(edge_index: Tensor) -> set[tuple[int, int]]:
    return set(map(tuple, edge_index.T.tolist()))


def test_nodes_and_all_edges(keypoints: Tensor) -> None:
    data = to_data(keypoints[0])
    assert data.validate()
    assert torch.equal(data.x, keypoints[0])
    assert torch.equal(data.pos, keypoints[0, :, :2])
    assert torch.equal(data.status, keypoints[0, :, 2])
    assert data.keypoint.tolist() == list(range(K))
    assert pairs(data.edge_index) == {(i, j) for i in range(K) for j in range(K) if i != j}
    assert data.edge_index.shape == (2, K * (K - 1))


def test_nearest_edges_golden() -> None:
    # On a line at 0, 1, 3, 7: nobody's nearest but one is obvious, and 3's two nearest are not 7's.
    line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0]])
    wanted = {(1, 0), (2, 0), (0, 1), (2, 1), (1, 2), (0, 2), (2, 3), (1, 3)}
    assert pairs(nearest(line, 2)) == wanted
    assert nearest(line, 2)[0].tolist() == [1, 2, 0, 2, 1, 0, 2, 1]  # by receiver, nearest first


def test_of_equally_near_ones_the_lower_index_is_taken() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert nearest(corners, 1).tolist() == [[1, 0, 0, 1], [0, 1, 2, 3]]
    assert nearest(torch.zeros(3, 2), 1).tolist() == [[1, 0, 0], [0, 1, 2]]


def test_nearest_edges_are_those_of_brute_force(keypoints: Tensor) -> None:
    for frame in keypoints.double():
        wanted = set()
        for i in range(K):
            order = sorted((float((frame[i, :2] - frame[j, :2]).norm()), j) for j in range(K) if j != i)
            wanted |= {(j, i) for _, j in order[:3]}
        assert pairs(to_data(frame, neighbours=3).edge_index) == wanted


def test_more_neighbours_than_there_are_is_everybody(keypoints: Tensor) -> None:
    assert pairs(to_data(keypoints[0], neighbours=99).edge_index) == pairs(to_data(keypoints[0]).edge_index)


@pytest.mark.parametrize("neighbours", [None, 2])
@pytest.mark.parametrize("active", [0, 1, 4])
def test_inactive_keypoints_are_left_out(keypoints: Tensor, neighbours: int | None, active: int) -> None:
    frame = keypoints[0].clone()
    chosen = [6, 1, 3, 4][:active]
    frame[:, 2] = 0.5
    frame[chosen, 2] = 0.9
    data = to_data(frame, neighbours, drop_inactive=True)
    assert data.validate()
    assert data.num_nodes == active
    assert data.keypoint.tolist() == sorted(chosen)
    assert torch.equal(data.x, frame[sorted(chosen)])
    per_node = max(active - 1, 0) if neighbours is None else min(neighbours, max(active - 1, 0))
    assert data.edge_index.shape == (2, active * per_node)
    assert data.edge_index.dtype == torch.int64


@pytest.mark.parametrize("neighbours", [None, 2])
@pytest.mark.parametrize("drop_inactive", [False, True])
def test_a_batch_is_what_torch_geometric_makes_of_the_graphs(
    keypoints: Tensor, neighbours: int | None, drop_inactive: bool
) -> None:
    ours = to_batch(keypoints, neighbours, drop_inactive)
    theirs = Batch.from_data_list([to_data(frame, neighbours, drop_inactive) for frame in keypoints])
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours.keys())  # noqa: SIM118  # not a dict
    assert ours.num_graphs == 3
    back = ours.to_data_list()[2]
    assert torch.equal(back.edge_index, to_data(keypoints[2], neighbours, drop_inactive).edge_index)


def test_whatever_holds_keypoints_is_read(keypoints: Tensor) -> None:
    frame = keypoints[0]
    wanted = to_data(frame)
    parts = Keypoints(frame[:, :2], frame[:, 2], frame[:, 2], frame[:, 3:])
    graph = GraphInstance(nodes=frame.numpy(), edges=None, edge_links=None)
    for same in (frame.numpy(), parts, graph):
        assert torch.equal(to_data(same).x, wanted.x)


def test_a_graph_network_trains_through_it(keypoints: Tensor) -> None:
    keypoints.requires_grad_()
    batch = to_batch(keypoints, neighbours=2)
    GINConv(torch.nn.Linear(3 + D, 2))(batch.x, batch.edge_index).sum().backward()
    assert keypoints.grad is not None
    assert bool((keypoints.grad != 0).all())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: to_data(np.zeros((2, K, 3), np.float32)), "to_batch reads those of several"),
        (lambda: to_data(np.zeros((K, 2), np.float32)), r"not \(7, 2\)"),
        (lambda: to_data(np.zeros((K, 3), np.float32), neighbours=0), "neighbours is 0"),
        (lambda: to_batch(np.zeros((K, 3), np.float32)), "to_batch reads the keypoints of frames"),
        (lambda: to_batch(np.zeros((0, K, 3), np.float32)), "B ≥ 1"),
    ],
)
def test_other_shapes_are_refused(call: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        call()
