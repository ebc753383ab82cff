"""Keypoints as the robot sees them: what a turn of the scene changes, and where the pose is learned from."""

from __future__ import annotations

import math
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.data.demonstrations import Demonstration
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.envs.magical.canvas import SIZE
from mint_rl.envs.magical.state import picture_pose
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.interaction import InteractionConfig, KeypointPolicy
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.policies.reference_frame import ReferenceFrame
from mint_rl.policies.set_transformer import SetTransformerConfig, SetTransformerPolicy
from mint_rl.training.cloning_data import Batch, cloning_data
from mint_rl.training.cloning_losses import change_images, cloning_losses, pose_loss
from mint_rl.training.encoding import Encoding

K, T = 4, 3


class Told(nn.Module):
    """In place of the network that chooses: the first keypoint is the origin, the direction is given."""

    def __init__(self, heading: float) -> None:
        super().__init__()
        self.heading = heading

    def forward(self, nodes: Tensor) -> Tensor:
        weights = [100.0] + [0.0] * (K - 1)
        direction = [3 * math.cos(self.heading), 3 * math.sin(self.heading)]
        return torch.tensor([weights + direction]).expand(len(nodes), -1)


def seen_from(places: Tensor, heading: float) -> Tensor:
    frame = ReferenceFrame(K, 2, T)
    frame.choose = Told(heading)
    return frame(torch.zeros(len(places), K, 2), places)[0]


def test_a_scene_that_moves_and_turns_is_seen_alike() -> None:
    places = torch.rand(5, T, K, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    turn = 0.7
    matrix = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    moved = places @ matrix.T + torch.tensor([0.3, -0.2])
    seen = seen_from(places, 0.4)
    torch.testing.assert_close(seen_from(moved, 0.4 + turn), seen, atol=1e-5, rtol=1e-4)
    assert (seen_from(moved, 0.4) - seen).abs().max() > 0.1


def test_golden() -> None:
    # The origin is at (0.5, 0) and was at (0.25, 0); it looks along +x, so +y of the picture is to its left.
    now = torch.tensor([[0.5, 0.0], [0.9, 0.0], [0.5, 0.3], [0.5, 0.0]])
    before = now - torch.tensor([0.25, 0.0])
    seen = seen_from(torch.stack([before, before, now])[None], 0.0)[0]
    side, ahead, distance = seen[:, :3].unbind(1)
    torch.testing.assert_close(side, torch.tensor([0.0, 0.0, -0.9, 0.0]))
    torch.testing.assert_close(ahead, torch.tensor([0.0, 1.2, 0.0, 0.0]))
    torch.testing.assert_close(distance, torch.tensor([0.0, 1.2, 0.9, 0.0]))
    torch.testing.assert_close(seen[1, 3:5], torch.tensor([0.0, 0.4 / 0.42]))
    torch.testing.assert_close(seen[:, 5:], torch.tensor([0.0, -1.5, 0.0, -1.5]).expand(K, 4))


@pytest.mark.parametrize(
    ("policy_class", "config"),
    [
        (MLPKeypointPolicy, MLPConfig(hidden=16, frame=True)),
        (KeypointPolicy, InteractionConfig(hidden=8, frame=True)),
        (SetTransformerPolicy, SetTransformerConfig(hidden=8, frame=True)),
    ],
)
def test_every_keypoint_policy_learns_the_pose(policy_class: type, config: object) -> None:
    torch.manual_seed(0)
    space = gym.vector.utils.batch_space(keypoint_space(K, 2), T)
    policy = policy_class(space, spaces.Discrete(18), config=config)
    observations = torch.rand(32, T, K, 5)
    heading = observations[:, -1, 1, :2] - observations[:, -1, 0, :2]
    heading = heading / heading.norm(dim=1, keepdim=True)
    poses = torch.cat([observations[:, -1, 0, :2] * 2 - 1, heading], dim=1)
    yes = torch.ones(32, 1, dtype=torch.bool)
    batch = Batch(observations, yes.long(), yes, None, yes[:, 0], poses)
    optimiser = torch.optim.Adam(policy.parameters(), 0.02)
    losses = []
    for _ in range(40):
        found = cloning_losses(policy, batch, dynamics_weight=0.0, pose_weight=1.0)
        losses.append(found["pose_loss"].item())
        torch.testing.assert_close(found["loss"], found["action_loss"] + found["pose_loss"])
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
    assert losses[-1] < 0.3 * losses[0]
    assert "pose_loss" not in cloning_losses(policy, batch, 0.0, pose_weight=0.0)


def test_what_nobody_knows_costs_nothing() -> None:
    true = torch.tensor([[0.1, 0.2, 0.0, 1.0], [torch.nan] * 4])
    predicted = torch.tensor([[0.2, 0.2, 0.0, 0.5], [9.0, 9.0, 9.0, 9.0]], requires_grad=True)
    loss = pose_loss(predicted, true)
    assert loss.item() == pytest.approx(10 * 0.01 + 0.25)
    loss.backward()
    assert predicted.grad is not None
    assert (predicted.grad[1] == 0).all()
    assert pose_loss(predicted, torch.full((2, 4), torch.nan)).item() == 0


@pytest.mark.parametrize("states", [None, np.zeros((3, 2)), np.full((3, 24), 0.5)])
def test_states_of_other_programs_tell_no_pose(states: np.ndarray | None) -> None:  # type: ignore[type-arg]
    pose = picture_pose(states, 3)
    assert pose.shape == (3, 4)
    assert np.isnan(pose).all()


def test_the_pose_is_where_the_picture_shows_the_robot(tmp_path: Path) -> None:
    env = gym.make("magical/MoveToRegion-TestJitter-v0")
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=5, gamma=0.5)).eval()
    for seed in range(4):
        frame, _ = env.reset(seed=seed)
        state = env.unwrapped.state()
        (pose,) = picture_pose(state.to_array()[None], 1)
        a, b, c, d, e, f = env.unwrapped.world.camera("allo")
        x, y = state.robot.x, state.robot.y
        across, down = a * x + b * y + c, SIZE - (d * x + e * y + f)  # the camera's y points upwards
        np.testing.assert_allclose(pose[:2], np.array([across, down]) / SIZE * 2 - 1, atol=1e-5)
        rows, columns = np.nonzero(env.unwrapped.instance_mask() == 1)
        middle = (np.array([columns.mean(), rows.mean()]) + 0.5) / 96 * 2 - 1
        assert np.linalg.norm(pose[:2] - middle) < 0.06  # the fingers are in front of the body
        assert float((middle - pose[:2]) @ pose[2:]) > 0  # and there the heading points
        images = np.stack([frame] * 3)
        episode = Demonstration(
            images, np.zeros(3, int), np.zeros(3, int), 1.0, seed, np.stack([state.to_array()] * 3)
        )
        blind = Demonstration(images, np.zeros(3, int), np.zeros(3, int), 1.0, seed)
        data = cloning_data(
            [episode, blind], Encoding(encoder, cache=tmp_path), 2, shifted_copies=2, seed=seed
        )
        known = data.poses[data.poses.isfinite().all(dim=1)]
        torch.testing.assert_close(known[0], torch.from_numpy(pose))
        offsets = (known[:, :2] - known[0, :2]) * 96 / 2  # copies that moved by whole pixels
        torch.testing.assert_close(offsets, offsets.round(), atol=1e-3, rtol=0)
        assert offsets.abs().max() <= 4
        assert len(known) in (3, 9)
    pixels = cloning_data([episode, blind], None, 2, seed=0).batch(torch.tensor([0, 3]), next_frames=False)
    assert pixels.poses is not None
    assert pixels.poses.isfinite().any(dim=1).tolist() == [True, False]
    assert change_images(pixels, torch.Generator()).poses is None
