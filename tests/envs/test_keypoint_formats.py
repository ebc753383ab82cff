"""Spaces and coordinates of keypoint observations."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from mint_rl.envs.keypoint_formats import KeypointGraph, formatted, formatted_space, keypoint_space, place
from mint_rl.errors import UserError


@pytest.mark.parametrize(
    ("coordinates", "low", "high"),
    [("unit", (0, 0), (1, 1)), ("centred", (-1, -1), (1, 1)), ("pixels", (0, 0), (59, 39))],
)
@pytest.mark.parametrize("tensors", [False, True])
def test_coordinates_and_their_bounds(
    coordinates: str, low: tuple[int, int], high: tuple[int, int], tensors: bool
) -> None:
    space = keypoint_space(2, 4, coordinates, (40, 60))
    assert space.shape == (2, 7)
    np.testing.assert_array_equal(space.low[0], [*low, 0, *[-np.inf] * 4])
    np.testing.assert_array_equal(space.high[1], [*high, 1, *[np.inf] * 4])
    corners = np.array([[0, 0, 0.25], [1, 1, 1], [0.5, 0.25, 0]], np.float32)
    given = torch.from_numpy(corners.copy()) if tensors else corners.copy()
    placed = np.asarray(place(given, coordinates, (40, 60)))
    np.testing.assert_array_equal(placed[:2, :2], [low, high])
    middle = [low[0] + (high[0] - low[0]) / 2, low[1] + (high[1] - low[1]) / 4]
    np.testing.assert_allclose(placed[2, :2], middle)
    np.testing.assert_array_equal(placed[:, 2], corners[:, 2])


def test_a_stack_has_the_bounds_of_its_frames() -> None:
    space = keypoint_space(2, 1, "pixels", (40, 60), frames=3)
    assert space.shape == (3, 2, 4)
    assert (space.high[2] == keypoint_space(2, 1, "pixels", (40, 60)).high).all()


def test_formats() -> None:
    nodes = keypoint_space(5)
    keypoints = np.random.default_rng(0).random((5, 3), np.float32)
    beside = {"arm": spaces.Box(0, 1, (2,), np.float32)}
    kept = {"arm": np.zeros(2, np.float32)}
    for format in ("box", "dict", "graph"):
        space = formatted_space(format, nodes, beside)
        assert space.contains(formatted(format, keypoints, kept)), format
    entries = formatted("dict", keypoints, kept)
    np.testing.assert_array_equal(entries["mask"], keypoints[:, 2] > 0.5)
    assert entries["arm"] is kept["arm"]
    assert set(formatted_space("dict", nodes, beside)) == set(entries) == {"nodes", "mask", "arm"}
    tensors = formatted("dict", torch.from_numpy(keypoints), {})
    assert tensors["mask"].dtype == torch.int8
    np.testing.assert_array_equal(tensors["mask"], entries["mask"])


def test_graphs_say_who_cannot_take_them() -> None:
    graph = formatted_space("graph", keypoint_space(5), {})
    with pytest.raises(UserError, match=r"AsyncVectorEnv cannot .* choose KeypointObs.*format='box'"):
        gym.vector.utils.create_shared_memory(graph, 2)
    with pytest.raises(UserError, match="Stable-Baselines3 cannot take graphs: choose"):
        graph.spaces  # noqa: B018
    for twin in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert twin == graph
        assert isinstance(twin, KeypointGraph)
    assert graph.contains(graph.sample(num_nodes=5))
