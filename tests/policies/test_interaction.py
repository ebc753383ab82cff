"""The interaction network: a graph network whose layer is what its equations say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.policies.graph import fully_connected
from mint_rl.policies.interaction import InteractionConfig, InteractionNetwork
from mint_rl.policies.interaction_layer import InteractionLayer

B, K, F = 3, 7, 8


def stacked_space(frames: int = 4, keypoints: int = K, descriptors: int = 5):  # type: ignore[no-untyped-def]
    from gymnasium.vector.utils import batch_space

    return batch_space(keypoint_space(keypoints, descriptors), frames)


def layer(grouped: bool = False) -> InteractionLayer:
    torch.manual_seed(0)
    return InteractionLayer(K, F, grouped=grouped)


def dense(module: InteractionLayer, nodes: Tensor, positions: Tensor, edges: Tensor) -> Tensor:
    """The layer's equations, written out edge by edge."""
    result = torch.empty_like(nodes)
    for b in range(len(nodes)):
        total = torch.zeros(K, F)
        for sender, receiver in edges.T.tolist():
            offset = positions[b, sender] - positions[b, receiver]
            message = (
                module.sender.weight @ nodes[b, sender]
                + module.sender.bias
                + module.receiver.weight @ nodes[b, receiver]
                + module.offset.weight @ offset
                + module.distance * offset.square().sum().sqrt()
            )
            total[receiver] += message.clamp(min=0)
        effect = (total / (K - 1) ** 0.5 @ module.effect.weight.T + module.effect.bias).clamp(min=0)
        both = torch.cat([nodes[b], effect], dim=1)
        first, _, second = module.update_node
        inner = (both @ first.weight.T + first.bias).clamp(min=0)
        updated = nodes[b] + inner @ second.weight.T + second.bias
        centred = updated - updated.mean(1, keepdim=True)
        result[b] = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    return result


def test_fully_connected_lists_every_pair_once_grouped_by_receiver() -> None:
    edges = fully_connected(3)
    assert edges.tolist() == [[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]]
    edges = fully_connected(25)
    assert edges.shape == (2, 600)
    assert len({tuple(edge) for edge in edges.T.tolist()}) == 600
    assert (edges[0] != edges[1]).all()
    with pytest.raises(ValueError, match="at least 2"):
        fully_connected(1)


@pytest.mark.parametrize("grouped", [False, True])
def test_propagate_equals_the_equations(grouped: bool) -> None:
    module, edges = layer(grouped), fully_connected(K)
    nodes, positions = torch.randn(B, K, F), torch.rand(B, K, 2)
    wanted = dense(module, nodes, positions, edges)
    torch.testing.assert_close(module(nodes, positions, edges), wanted, atol=1e-5, rtol=1e-5)


def test_propagate_on_another_graph() -> None:
    module, edges = layer(), torch.tensor([[0, 3, 5, 2], [1, 1, 0, 6]])
    nodes, positions = torch.randn(B, K, F), torch.rand(B, K, 2)
    wanted = dense(module, nodes, positions, edges)
    torch.testing.assert_close(module(nodes, positions, edges), wanted, atol=1e-5, rtol=1e-5)


def test_gradients_of_the_in_place_messages() -> None:
    module = layer(grouped=True).double()
    nodes = torch.randn(1, K, F, dtype=torch.float64, requires_grad=True)
    positions = torch.rand(1, K, 2, dtype=torch.float64, requires_grad=True)
    edges = fully_connected(K)
    assert torch.autograd.gradcheck(
        lambda z, p: module(z, p, edges).sum(dim=0), (nodes, positions), atol=1e-6
    )


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(K)))
def test_permutation_equivariance_before_the_readout(order: list[int]) -> None:
    torch.manual_seed(1)
    network = InteractionNetwork(stacked_space(), InteractionConfig(hidden=F, rounds=2))
    nodes, positions = torch.randn(B, K, F), torch.rand(B, K, 2)
    straight = network.interact(nodes, positions)[:, order]
    permuted = network.interact(nodes[:, order], positions[:, order])
    torch.testing.assert_close(straight, permuted, atol=1e-5, rtol=1e-5)


def test_identity_is_kept_to_the_end() -> None:
    torch.manual_seed(1)
    network = InteractionNetwork(stacked_space(), InteractionConfig(hidden=F))
    observations = torch.rand(B, 4, K, 8)
    swapped = observations[:, :, [1, 0, *range(2, K)]]
    assert not torch.allclose(network(observations), network(swapped), atol=1e-3)


def test_dynamics_start_as_no_motion() -> None:
    network = InteractionNetwork(stacked_space(), InteractionConfig(hidden=F))
    observations = torch.rand(B, 4, K, 8)
    features, following = network.with_dynamics(observations)
    assert features.shape == (B, network.features_dim)
    torch.testing.assert_close(following, observations[:, -1, :, :3])


def test_works_where_no_temporary_folder_can_be_written(tmp_path: Path) -> None:
    """torch-geometric generates a module into the temporary folder; without one it has to do."""
    code = (
        "import tempfile, torch\n"
        "def refuse(*args, **kwargs): raise OSError('read-only')\n"
        "tempfile.NamedTemporaryFile = refuse\n"
        "from mint_rl.policies.graph import fully_connected\n"
        "from mint_rl.policies.interaction_layer import InteractionLayer\n"
        "layer = InteractionLayer(4, 8, grouped=True)\n"
        "print(tuple(layer(torch.randn(2, 4, 8), torch.rand(2, 4, 2), fully_connected(4)).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "(2, 4, 8)", done.stderr
