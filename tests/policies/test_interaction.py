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
from mint_rl.policies.set_transformer import SetTransformerConfig, SetTransformerNetwork

B, K, F = 3, 7, 8


def stacked_space(frames: int = 4, keypoints: int = K, descriptors: int = 5):  # type: ignore[no-untyped-def]
    from gymnasium.vector.utils import batch_space

    return batch_space(keypoint_space(keypoints, descriptors), frames)


def layer(grouped: bool = False) -> InteractionLayer:
    torch.manual_seed(0)
    return InteractionLayer(K, F, grouped=grouped)


def dense(module: InteractionLayer, nodes: Tensor, poses: Tensor, edges: Tensor) -> Tensor:
    """The layer's equations, written out edge by edge."""
    positions, status = poses[..., :2], poses[..., 2]
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
                + module.sender_status * status[b, sender]
                + module.receiver_status * status[b, receiver]
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
    nodes, poses = torch.randn(B, K, F), torch.rand(B, K, 3)
    wanted = dense(module, nodes, poses, edges)
    torch.testing.assert_close(module(nodes, poses, edges), wanted, atol=1e-5, rtol=1e-5)


def test_propagate_on_another_graph() -> None:
    module, edges = layer(), torch.tensor([[0, 3, 5, 2], [1, 1, 0, 6]])
    nodes, poses = torch.randn(B, K, F), torch.rand(B, K, 3)
    wanted = dense(module, nodes, poses, edges)
    torch.testing.assert_close(module(nodes, poses, edges), wanted, atol=1e-5, rtol=1e-5)


def test_gradients_of_the_in_place_messages() -> None:
    module = layer(grouped=True).double()
    nodes = torch.randn(1, K, F, dtype=torch.float64, requires_grad=True)
    poses = torch.rand(1, K, 3, dtype=torch.float64, requires_grad=True)
    edges = fully_connected(K)
    assert torch.autograd.gradcheck(lambda z, p: module(z, p, edges).sum(dim=0), (nodes, poses), atol=1e-6)


NETWORKS = {
    "interaction": lambda: InteractionNetwork(stacked_space(), InteractionConfig(hidden=F, rounds=2)),
    "set-transformer": lambda: SetTransformerNetwork(
        stacked_space(), SetTransformerConfig(hidden=F, rounds=2, heads=2)
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@settings(deadline=None, max_examples=10)
@given(order=st.permutations(range(K)))
def test_permutation_equivariance_before_the_readout(name: str, order: list[int]) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]().eval()
    nodes, poses = torch.randn(B, K, F), torch.rand(B, K, 3)
    straight = network.relate(nodes, poses)[:, order]
    permuted = network.relate(nodes[:, order], poses[:, order])
    torch.testing.assert_close(straight, permuted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_identity_is_kept_to_the_end(name: str) -> None:
    torch.manual_seed(1)
    network = NETWORKS[name]()
    observations = torch.rand(B, 4, K, 8)
    swapped = observations[:, :, [1, 0, *range(2, K)]]
    assert not torch.allclose(network(observations), network(swapped), atol=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_keypoint_is_told_of_the_others(name: str) -> None:
    """What the relations are for: another keypoint's descriptors change a node, without its own."""
    torch.manual_seed(1)
    network = NETWORKS[name]()
    observations = torch.rand(B, 4, K, 8)
    changed = observations.clone()
    changed[:, :, 0, 3:] += 1
    assert (network.nodes(observations)[0] - network.nodes(changed)[0])[:, 1:].abs().amax((0, 2)).min() > 1e-4


def test_attention_of_a_transformer_is_what_its_weights_say() -> None:
    """One layer, one head, written out (Vaswani et al. 2017, eq. 1; normalised after each residual step)."""
    torch.manual_seed(2)
    network = SetTransformerNetwork(stacked_space(), SetTransformerConfig(hidden=F, heads=1))
    nodes = torch.randn(B, K, F)
    layer = network.layers[0]
    query, key, value = (nodes @ layer.self_attn.in_proj_weight.T + layer.self_attn.in_proj_bias).chunk(
        3, dim=2
    )
    weights = (query @ key.transpose(1, 2) / F**0.5).softmax(dim=2)
    attended = nodes + layer.self_attn.out_proj(weights @ value)
    middle = torch.nn.functional.layer_norm(attended, (F,))
    wanted = torch.nn.functional.layer_norm(middle + layer.linear2(layer.linear1(middle).relu()), (F,))
    torch.testing.assert_close(network.relate(nodes, torch.rand(B, K, 3)), wanted, atol=1e-5, rtol=1e-5)


def test_a_silent_sender_sends_nothing() -> None:
    """With the status as the only thing that a message reads, inactive keypoints have no effect."""
    module = layer()
    with torch.no_grad():
        for parameter in (module.sender.weight, module.receiver.weight, module.offset.weight):
            parameter.zero_()
        module.distance.zero_()
        module.receiver_status.zero_()
        module.sender.bias.fill_(-1.0)
        module.sender_status.fill_(1.0)
    nodes, active, inactive = torch.randn(1, K, F), torch.rand(1, K, 3), torch.rand(1, K, 3)
    active[..., 2], inactive[..., 2] = 1.0, 0.0
    alone = torch.empty(2, 0, dtype=torch.long)
    edges = fully_connected(K)
    torch.testing.assert_close(module(nodes, inactive, edges), module(nodes, inactive, alone))
    torch.testing.assert_close(module(nodes, active, edges), module(nodes, active, alone))  # relu(1 − 1)
    with torch.no_grad():
        module.sender_status.fill_(2.0)
    assert not torch.allclose(module(nodes, active, edges), module(nodes, active, alone), atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_dynamics_start_as_no_motion(name: str) -> None:
    network = NETWORKS[name]()
    observations = torch.rand(B, 4, K, 8)
    features, following, _ = network.read(observations)
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
        "print(tuple(layer(torch.randn(2, 4, 8), torch.rand(2, 4, 3), fully_connected(4)).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "(2, 4, 8)", done.stderr
