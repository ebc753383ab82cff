"""What the losses see in a pair of frames, against the losses themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mint_rl.envs.magical.masked_videos import masked_episodes
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder
from mint_rl.keypoints.heatmaps import heatmap_area, to_pixels
from mint_rl.keypoints.information import information_images, most_changing_pair
from mint_rl.keypoints.mint import MintLossConfig, mint_loss, transport_residual
from mint_rl.keypoints.pretrained import load_encoder


@pytest.fixture(scope="module")
def video() -> np.ndarray:
    (episode,) = masked_episodes("MoveToCorner", 1, noise=0.0)
    return episode.frames


def test_the_shares_are_the_losses(video: np.ndarray) -> None:
    encoder, config = load_encoder("magical"), MintLossConfig(sigma=6.0)
    images = information_images(encoder, video[20:22], config)
    found = torch.from_numpy(images.keypoints)[None]
    entropy = torch.from_numpy(np.stack([images.previous, images.current]))[None]
    terms = mint_loss(found[..., :2], found[..., 2], entropy, config)
    # The loss averages ME over both frames; the images show the second one.
    first = information_images(encoder, video[[19, 20]], config)
    assert (1 - images.covered + 1 - first.covered) / 2 == pytest.approx(
        float(terms.masked_entropy), abs=1e-5
    )
    assert 1 - images.change_covered == pytest.approx(float(terms.masked_conditional_entropy), abs=1e-5)

    pixels = to_pixels(found[..., :2], 96, 96)
    residual = transport_residual(pixels, entropy, config)[0, images.keypoint]
    left = (images.current - images.explained).sum() / heatmap_area(config.sigma, config.tau, config.eta)
    assert left == pytest.approx(float(residual), rel=1e-4)


def test_the_transported_keypoint_is_the_active_one_that_moves_farthest(video: np.ndarray) -> None:
    images = information_images(load_encoder("magical"), video[20:22])
    active = (images.keypoints[..., 2] > 0.5).all(0)
    moved = ((images.keypoints[1, :, :2] - images.keypoints[0, :, :2]) ** 2).sum(1)
    assert images.keypoint == np.where(active, moved, -1).argmax()
    for heat, points in (
        (images.heat_previous, images.keypoints[0]),
        (images.heat_current, images.keypoints[1]),
    ):
        rows, columns = np.indices(heat.shape)
        centre = [(columns * heat).sum() / heat.sum(), (rows * heat).sum() / heat.sum()]
        np.testing.assert_allclose(centre, points[images.keypoint, :2] * 95, atol=0.1)


def test_without_an_active_keypoint_nothing_is_covered_or_transported(video: np.ndarray) -> None:
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=3, gamma=1e6)).eval()
    images = information_images(encoder, video[20:22])
    assert images.keypoint == -1
    assert images.covered == 0
    assert not images.heat_previous.any()
    assert images.share_explained < 1


def test_frames_of_another_size_are_resized(video: np.ndarray) -> None:
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=3, image_size=(48, 48))).eval()
    assert information_images(encoder, video[20:22]).current.shape == (48, 48)


def test_the_pair_that_changes_most() -> None:
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=3)).eval()
    still = np.full((6, 96, 96, 3), 255, np.uint8)
    still[4:, 30:50, 30:50] = 0  # something appears between frames 3 and 4
    assert most_changing_pair(encoder, still) == 4
    with pytest.raises(UserError, match="has 1 frame"):
        most_changing_pair(encoder, still[:1])
    with pytest.raises(UserError, match="not 3"):
        information_images(encoder, still[:3])
    assert np.isnan(information_images(encoder, still[:2]).covered)  # blank: there is nothing to cover
