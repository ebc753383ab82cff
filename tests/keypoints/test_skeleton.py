"""Skeletons as pictures, files of poses, and KeypointGAN's losses, on cases worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.methods.keypointgan import discriminator_loss, generator_loss, gradient_penalty
from mint_rl.keypoints.skeleton import PosePrior, draw_skeleton, read_prior, write_prior


def test_a_line_is_a_gaussian_of_the_distance_to_its_segment() -> None:
    points = torch.tensor([[[0.2, 0.5], [0.6, 0.5]]], dtype=torch.float64, requires_grad=True)
    picture = draw_skeleton(points, [(0, 1)], 11, 11, sigma=2.0)  # from (2, 5) to (6, 5) in pixels
    assert picture.shape == (1, 1, 11, 11)
    for (row, column), distance in {(5, 4): 0, (8, 4): 3, (5, 9): 3, (1, 9): 5, (5, 0): 2}.items():
        assert float(picture.detach()[0, 0, row, column]) == pytest.approx(math.exp(-(distance**2) / 4))
    picture[0, 0, 8, 4].backward()
    assert points.grad is not None
    assert bool((points.grad[..., 1] > 0).all())


def test_least_squares_losses_and_penalty() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 1.0])
    assert float(discriminator_loss(real, fake)) == pytest.approx(0.5 * 0.125 + 0.5 * 0.5)
    assert float(generator_loss(fake)) == pytest.approx(0.5)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    expected = float(linear[1].weight.detach().square().sum())
    assert float(gradient_penalty(linear, torch.rand(3, 1, 2, 2)).detach()) == pytest.approx(expected)


def test_a_prior_is_written_and_read(tmp_path: Path) -> None:
    prior = PosePrior(
        np.random.default_rng(0).random((5, 3, 2), np.float32), ((0, 1), (1, 2)), ("a", "b", "c")
    )
    write_prior(tmp_path / "p.npz", prior)
    found = read_prior(tmp_path / "p.npz")
    assert np.array_equal(found.points, prior.points)
    assert (found.edges, found.names) == (prior.edges, prior.names)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"points": np.zeros((2, 3, 2))}, "no array 'edges'"),
        ({"points": np.zeros((2, 3)), "edges": [[0, 1]]}, "points must be numbers of shape"),
        ({"points": np.full((2, 3, 2), 1.5), "edges": [[0, 1]]}, r"in \[0, 1\]"),
        ({"points": np.full((2, 3, 2), np.nan), "edges": [[0, 1]]}, r"in \[0, 1\]"),
        ({"points": np.zeros((2, 3, 2)), "edges": [[0, 3]]}, "from 0 to 2"),
        ({"points": np.zeros((2, 3, 2)), "edges": [[0.0, 1.0]]}, "edges must be whole numbers"),
        ({"points": np.array([{}]), "edges": [[0, 1]]}, "cannot be read"),
    ],
)
def test_files_that_are_no_prior(tmp_path: Path, arrays: dict[str, object], words: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        read_prior(tmp_path / "bad.npz")
    (tmp_path / "text.npz").write_text("no archive")
    for name, what in (("none.npz", "there is no pose prior"), ("text.npz", "cannot be read")):
        with pytest.raises(UserError, match=what):
            read_prior(tmp_path / name)


def test_a_skeleton_encoder_is_saved_and_read_like_any_other(tmp_path: Path) -> None:
    config = EncoderConfig.for_images(
        96, 96, num_keypoints=4, network="skeleton", heatmap="softmax", status="always"
    )
    encoder = KeypointEncoder(config).eval()
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    encoder.save_pretrained(tmp_path)
    again = KeypointEncoder.from_pretrained(tmp_path)
    found = again.encode(frames, descriptors=True)
    assert found.shape == (2, 4, 3 + again.descriptor_dim)
    assert np.array_equal(found, encoder.encode(frames, descriptors=True))
    assert (found[..., 2] == 1).all()
