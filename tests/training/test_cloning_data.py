"""Demonstrations as training data: no step sees another episode, augmentation keeps motion."""

from __future__ import annotations

import copy
from pathlib import Path

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
from mint_rl.training.cloning_data import (
    Batch,
    cloning_data,
    following_indices,
    history_indices,
    later_indices,
)
from mint_rl.training.cloning_losses import change_images, cloning_losses, dynamics_loss, jitter, perceive
from mint_rl.training.encoding import Encoding

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


def test_later_indices_golden() -> None:
    assert later_indices([3, 1], 3).tolist() == [[0, 1, 2], [1, 2, -1], [2, -1, -1], [3, -1, -1]]


def test_following_indices_golden() -> None:
    assert following_indices([3, 1, 2]).tolist() == [1, 2, -1, -1, 5, -1]


def test_history_is_that_of_the_wrappers(
    encoder: KeypointEncoder, demonstrations: DemonstrationSet, tmp_path: Path
) -> None:
    data = cloning_data(list(demonstrations), Encoding(encoder, cache=tmp_path), history=4)
    env = gym.wrappers.FrameStackObservation(KeypointObs(gym.make(ENV), encoder, descriptors=True), 4)
    step = 0
    for seed, demonstration in enumerate(demonstrations):
        seen, _ = env.reset(seed=seed)
        for action in demonstration.executed:
            observed = data.batch(torch.tensor([step])).observations[0]
            np.testing.assert_allclose(observed, seen, atol=1e-4)
            seen = env.step(action)[0]
            step += 1


def test_validation_holds_out_whole_demonstrations(demonstrations: DemonstrationSet) -> None:
    seen = set()
    for seed in range(8):
        data = cloning_data(list(demonstrations), None, seed=seed)
        held_out = data.validation.tolist()
        assert held_out in ([*range(12)], [*range(12, 19)], [*range(19, 31)])
        assert sorted([*data.training.tolist(), *held_out]) == [*range(31)]
        seen.add(held_out[0])
    assert seen == {0, 12, 19}


def test_without_an_encoder_the_frames_stay_pixels(demonstrations: DemonstrationSet) -> None:
    data = cloning_data(list(demonstrations), None)
    batch = data.batch(torch.tensor([0, 11]), next_frames=False)
    assert batch.observations.shape == (2, 4, 96, 96, 3)
    assert batch.observations.dtype == torch.uint8
    assert batch.following is None
    assert batch.known.tolist() == [True, False]
    following = data.batch(torch.tensor([0])).following
    assert following is not None
    np.testing.assert_array_equal(following[0], demonstrations[0].images[1])


def test_later_actions_end_with_the_episode(demonstrations: DemonstrationSet) -> None:
    batch = cloning_data(list(demonstrations), None, chunk=3).batch(torch.tensor([10, 17, 18]))
    assert batch.acted.tolist() == [[True, True, False], [True, True, False], [True, False, False]]
    assert batch.actions[0, :2].tolist() == demonstrations[0].actions[10:].tolist()
    assert batch.actions[2, 0] == demonstrations[1].actions[6]


def test_one_demonstration_is_too_few(demonstrations: DemonstrationSet) -> None:
    with pytest.raises(UserError, match="needs at least 2 demonstrations"):
        cloning_data([demonstrations[0]], None)


def test_rollouts_are_for_training_alone(demonstrations: DemonstrationSet) -> None:
    data = cloning_data([demonstrations[0], demonstrations[2]], None, rollouts=[demonstrations[1]])
    assert set(range(24, 31)) <= set(data.training.tolist())
    assert len(data.validation) == 12


def keypoint_batch() -> tuple[MLPKeypointPolicy, Batch]:
    torch.manual_seed(0)
    space = gym.vector.utils.batch_space(keypoint_space(5, 2), 4)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=MLPConfig(hidden=8))
    observations = torch.rand(6, 4, 5, 5)
    actions, true = torch.arange(6)[:, None], torch.ones(6, dtype=torch.bool)
    return policy, Batch(observations, actions, true[:, None], torch.rand(6, 5, 5), true)


def test_noise_moves_places_and_not_motion() -> None:
    _, batch = keypoint_batch()
    noisy = jitter(batch, 0.1, torch.Generator().manual_seed(0))
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


def test_of_a_chunk_only_what_was_done_counts() -> None:
    """Cross-entropy by hand, over the actions before the end of the episode."""
    _, batch = keypoint_batch()
    space = gym.vector.utils.batch_space(keypoint_space(5, 2), 4)
    policy = MLPKeypointPolicy(space, spaces.Discrete(18), config=MLPConfig(hidden=8, chunk=2))
    batch.actions = torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]])
    batch.acted = torch.tensor([[True, True]] * 5 + [[True, False]])
    logs = policy.plan(batch.observations)[0].log_softmax(2)
    chosen = logs.gather(2, batch.actions[..., None])[..., 0]
    wanted = -(chosen.sum() - chosen[5, 1]) / 11
    torch.testing.assert_close(cloning_losses(policy, batch, 0.0)["action_loss"], wanted)


def test_doing_nothing_weighs_what_it_is_told() -> None:
    """The weighted mean of the cross-entropies by hand; the first of the six actions is to do nothing."""
    policy, batch = keypoint_batch()
    errors = -policy.plan(batch.observations).logits[:, 0].log_softmax(1).diagonal()
    found = cloning_losses(policy, batch, 0.0, idle_weight=0.25)["action_loss"]
    torch.testing.assert_close(found, (0.25 * errors[0] + errors[1:].sum()) / 5.25)
    torch.testing.assert_close(
        cloning_losses(policy, batch, 0.0, idle_weight=0.0)["action_loss"], errors[1:].mean()
    )
    batch.actions = torch.zeros_like(batch.actions)
    assert cloning_losses(policy, batch, 0.0, idle_weight=0.0)["action_loss"] == 0
    assert cloning_losses(policy, batch, 0.0, idle_weight=0.1)["action_loss"] > 0


def test_images_of_a_step_are_moved_together() -> None:
    frames = torch.randint(0, 256, (5, 2, 8, 8, 3), dtype=torch.uint8)
    none = torch.zeros(5, 1, dtype=torch.bool)
    batch = Batch(frames, none.long(), none, frames[:, -1], none[:, 0])
    moved = change_images(batch, torch.Generator().manual_seed(0), shift=2, colour=0.2)
    assert moved.following is not None
    assert torch.equal(moved.following, moved.observations[:, -1])
    assert not torch.equal(moved.observations, frames)


def test_perceiving_reaches_the_encoder_and_its_targets_do_not(encoder: KeypointEncoder) -> None:
    encoder = copy.deepcopy(encoder).requires_grad_()  # the wrappers froze it
    frames = torch.randint(0, 256, (2, 3, 96, 96, 3), dtype=torch.uint8)
    yes = torch.ones(2, 1, dtype=torch.bool)
    seen = perceive(Batch(frames, yes.long(), yes, frames[:, -1], yes[:, 0]), encoder, descriptors=True)
    assert seen.following is not None
    assert not seen.following.requires_grad
    np.testing.assert_allclose(
        seen.observations.detach()[0], encoder.encode(frames[0].numpy(), descriptors=True), atol=1e-5
    )
    gradient = torch.autograd.grad(seen.observations.sum(), [encoder.network[0].weight])[0]
    assert gradient.abs().max() > 0
