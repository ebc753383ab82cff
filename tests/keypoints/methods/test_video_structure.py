"""Video Structure: each term by hand, the reconstruction at its beginning, and what its encoder says."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.method import Clips
from mint_rl.keypoints.methods.video_structure import (
    VideoStructure,
    VideoStructureConfig,
    image_loss,
    relative_magnitude,
    separation_loss,
    sparsity_loss,
)


def _method(**settings: object) -> VideoStructure:
    torch.manual_seed(0)
    config = VideoStructureConfig(width=4, frames=3, **settings)  # type: ignore[arg-type]
    encoder = KeypointEncoder(
        EncoderConfig.for_images(32, 32, num_keypoints=3, gamma=0.5, **config.encoder_settings())
    )
    return config.build(encoder)


def test_the_image_loss_by_hand() -> None:
    """Two channels of 2×2 pixels: (1 + 4 + 9)/4 a pixel, half of it, in an image of 64×64."""
    images = torch.zeros(1, 1, 2, 2, 2)
    images[0, 0, 0, 0, 0], images[0, 0, 0, 1, 1], images[0, 0, 1, 0, 0] = 1.0, -2.0, 3.0
    assert image_loss(images, torch.zeros_like(images)).item() == 14 / 4 / 2 * 4096


def test_separation_by_hand() -> None:
    """Around their means the two trajectories are ∓0.1 and 0 in x: d = 0.01, e^(−0.01/(2·0.1²)) = e^−½."""
    trajectories = torch.tensor([[[0.1, 0.2], [0.5, 0.9]], [[0.3, 0.2], [0.5, 0.9]]])[None]
    assert separation_loss(trajectories, 0.1).item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    third = torch.cat([trajectories, trajectories[:, :, :1] + 0.3], 2)  # moves as the first: e^0
    wanted = (2 * math.exp(-0.5) + 1) / 3
    assert separation_loss(third, 0.1).item() == pytest.approx(wanted, rel=1e-5)
    assert separation_loss(trajectories[:, :, :1], 0.1).item() == 0


def test_sparsity_and_magnitudes_by_hand() -> None:
    magnitudes = torch.tensor([[0.2, 0.8, 0.4]])
    assert sparsity_loss(magnitudes).item() == pytest.approx(1.4 / 3)
    torch.testing.assert_close(relative_magnitude(magnitudes), torch.tensor([[0.25, 1.0, 0.5]]))


def test_the_first_frame_is_the_first_guess() -> None:
    """With an untrained decoder only what changes since the first frame is lost; the terms add up."""
    method = _method(lambda_separation=3.0, lambda_sparsity=7.0)
    frames = torch.full((1, 3, 32, 32, 3), 100, dtype=torch.uint8)
    frames[0, 2, 0, :16] = 151  # 16 pixels of the last frame by 0.2, in three channels
    found = method.encoder(frames[0])
    keypoints = Keypoints(*(part[None] for part in found[:3]))
    terms = method.loss(Clips(frames, None, torch.eye(3)[:2].expand(1, 3, 2, 3)), keypoints)
    wanted = 16 * 3 * 0.2**2 / (3 * 32 * 32) * 4096 / 2
    assert terms["reconstruction"].item() == pytest.approx(wanted, rel=1e-4)
    total = terms["reconstruction"] + 3 * terms["separation"] + 7 * terms["sparsity"]
    torch.testing.assert_close(terms["total"], total)


def test_faint_keypoints_leave_no_trace_in_the_reconstruction() -> None:
    method = _method().eval()
    torch.nn.init.normal_(method.decoder.last.weight)
    coordinates, first = torch.rand(1, 3, 3, 2), torch.rand(1, 3, 32, 32)
    peaks = torch.tensor([1.0, 0.5, 0.0]).expand(1, 3, 3)
    given = method.reconstruct(first, Keypoints(coordinates, peaks, peaks))
    for keypoint, same in ((2, True), (1, False)):
        moved = coordinates.clone()
        moved[:, :, keypoint] = torch.rand(2)
        again = method.reconstruct(first, Keypoints(moved, peaks, peaks))
        assert torch.equal(given, again) == same


def test_the_status_is_the_magnitude() -> None:
    encoder = _method().encoder
    frames = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    found = encoder(frames)
    maps = functional.softplus(encoder._maps(encoder.normalise(frames))[-1])
    torch.testing.assert_close(found.peaks, maps.mean((2, 3)))
    torch.testing.assert_close(found.status, relative_magnitude(found.peaks))
    encoder.config = dataclasses.replace(encoder.config, gamma=0.9)
    torch.testing.assert_close(encoder(frames).status, relative_magnitude(found.peaks) / 1.8)
    with pytest.raises(UserError, match="gamma is 10"):
        dataclasses.replace(encoder.config, gamma=10.0)


@pytest.mark.parametrize("settings", [{"frames": 1}, {"lambda_sparsity": -1.0}, {"sigma": 0.0}])
def test_settings_that_cannot_be(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"loss.{next(iter(settings))}"):
        VideoStructureConfig(**settings)  # type: ignore[arg-type]
