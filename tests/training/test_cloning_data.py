"""Demonstrations as training data: no step sees another episode, augmentation keeps motion."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import mint_rl.envs.magical  # noqa: F401  # registers the environments
from mint_rl.data.demonstrations import Demonstration, DemonstrationSet
from mint_rl.envs.keypoint_obs import KeypointObs, keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.mlp import MLPConfig, MLPKeypointPolicy
from mint_rl.training.cloning_data import Batch, cloning_data, following_indices, history_indices
from mint_rl.training.cloning_losses import augment, cloning_losses, dynamics_loss

ENV = "magical/MoveToRegion-Demo-v0"


@pytest.fixture(scope="module")
def encoder() -> KeypointEncoder:
    torch.manual_seed(0)
    return KeypointEncoder(EncoderConfig(num_keypoints=5, gamma=0.5)).eval()


@pytest.fixture(scope="module")
def demonstrations() -> DemonstrationSet:
    """Three episodes of random actions, of which the middle one is cut short."""
    episodes = []
    for seed, length in enumerate((12, 7, 12)):
        env = gym.make(ENV)
        actions = np.random.default_rng(seed).integers(0, 18, length)
        frames = [env.reset(seed=seed)[0], *(env.step(action)[0] for action in actions[:-1])]
        episodes.append(Demonstration(np.stack(frames), actions, actions, 0.5, seed))
    return DemonstrationSet(ENV, episodes)


def test_history_indices_golden() -> None:
    wanted = [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [4, 4, 4], [4, 4, 5]]
    assert history_indices([4, 2], 3).tolist() == wanted


def test_following_indices_golden() -> None:
    assert following_indices([3, 1, 2]).tolist() == [1, 2, -1, -1, 5, -1]


def test_history_is_that_of_the_wrappers(encoder: KeypointEncoder, demonstrations: DemonstrationSet) -> None:
    data = cloning_data(demonstrations, encoder, history=4, descriptors=True)
    env = gym.wrappers.FrameStackObservation(KeypointObs(gym.make(ENV), encoder, descriptors=True), 4)
    step = 0
    for seed, demonstration in enumerate(demonstrations):
        seen, _ = env.reset(seed=seed)
        for action in demonstration.executed:
            observed = data.batch(torch.tensor([step])).observations[0]
            np.testing.assert_allclose(observed, seen, atol=1e-4)
            seen = env.step(action)[0]
            step += 1


def test_validation_holds_out_whole_demonstrations(
    encoder: KeypointEncoder, demonstrations: DemonstrationSet
) -> None:
    seen = set()
    for seed in range(8):
        data = cloning_data(demonstrations, encoder, seed=seed)
        held_out = data.validation.tolist()
        assert held_out in ([*range(12)], [*range(12, 19)], [*range(19, 31)])
        assert sorted([*data.training.tolist(), *held_out]) == [*range(31)]
        seen.add(held_out[0])
    assert seen == {0, 12, 19}


def test_without_an_encoder_the_frames_stay_pixels(demonstrations: DemonstrationSet) -> None:
    batch = cloning_data(demonstrations, None).batch(torch.tensor([0, 11]))
    assert batch.observations.shape == (2, 4, 96, 96, 3)
    assert batch.observations.dtype == torch.uint8
    assert batch.following is None
    assert batch.known.tolist() == [True, False]


def test_one_demonstration_is_too_few(encoder: KeypointEncoder, demonstrations: DemonstrationSet) -> None:
    with pytest.raises(UserError, match="needs at least 2 demonstrations"):
        cloning_data(DemonstrationSet(ENV, [demonstrations[0]]), encoder)


def keypoint_batch() -> tuple[MLPKeypointPolicy, Batch]:
    torch.manual_seed(0)
    space = gym.vector.utils.batch_space(keypoint_space(5, 2), 4)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=MLPConfig(hidden=8))
    observations = torch.rand(6, 4, 5, 5)
    return policy, Batch(observations, torch.arange(6), torch.rand(6, 5, 3), torch.ones(6, dtype=torch.bool))


def test_noise_moves_places_and_not_motion() -> None:
    policy, batch = keypoint_batch()
    noisy = augment(batch, policy, 0.1, torch.Generator().manual_seed(0))
    moved = noisy.observations - batch.observations
    assert moved[..., :2].abs().mean() > 0.03
    torch.testing.assert_close(moved[:, :, :, :2], moved[:, :1, :, :2].expand(-1, 4, -1, -1))
    assert (moved[..., 2:] == 0).all()
    assert noisy.following is not None
    assert batch.following is not None
    torch.testing.assert_close((noisy.following - batch.following)[..., :2], moved[:, -1, :, :2])


def test_dynamics_loss_golden() -> None:
    target = torch.tensor([[[0.5, 0.5, 1.0], [0.1, 0.9, 0.0]]])
    predicted = torch.tensor([[[0.52, 0.7, 1.0], [0.9, 0.1, 0.04]]])
    # Huber in units of 0.05: 0.02²/2/0.05 inside, 0.2 − 0.05/2 outside; the second keypoint is inactive.
    wanted = (0.02**2 / 2 / 0.05 + (0.2 - 0.025) + 0.0 + 0.04**2 / 2 / 0.05) / 4
    assert dynamics_loss(predicted, target, torch.tensor([True])).item() == pytest.approx(wanted, rel=1e-5)
    assert dynamics_loss(predicted, target, torch.tensor([False])).item() == 0


def test_losses_add_up_and_dynamics_can_be_switched_off() -> None:
    policy, batch = keypoint_batch()
    losses = cloning_losses(policy, batch, dynamics_weight=2.0)
    torch.testing.assert_close(losses["loss"], losses["action_loss"] + 2 * losses["dynamics_loss"])
    without = cloning_losses(policy, batch, dynamics_weight=0.0)
    assert "dynamics_loss" not in without
    assert torch.equal(without["loss"], without["action_loss"])
