"""Skeletons as pictures, files of poses, and KeypointGAN's losses, on cases worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder, Keypoints
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.method import Clips
from mint_rl.keypoints.methods.keypointgan import (
    KeypointGAN,
    KeypointGANConfig,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    near,
    regressor_loss,
    relative_error,
    still,
    turn,
)
from mint_rl.keypoints.skeleton import PosePrior, draw_skeleton, quarter_turns, read_prior, write_prior
from mint_rl.keypoints.skeleton_network import SkeletonNetwork, fixed


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


def test_the_regressor_is_judged_by_place_and_by_every_map() -> None:
    poses = torch.tensor([[[0.5, 0.25]]])  # column 2, row 1 of 5×5
    even = torch.zeros(1, 1, 5, 5)
    # An even map has its middle, (0.5, 0.5), and every cell at ln 25.
    assert float(regressor_loss(even, poses)) == pytest.approx(0.2 * math.log(25) + 10 * 0.25**2 / 2)
    sharp = even.clone()
    sharp[0, 0, 1, 2] = 40.0
    assert float(regressor_loss(sharp, poses)) == pytest.approx(0.0, abs=1e-6)
    # Between two cells, both should have half: cross-entropy ln 2.
    sharp[0, 0, 1, 3] = 40.0
    between = torch.tensor([[[0.625, 0.25]]])
    assert float(regressor_loss(sharp, between)) == pytest.approx(0.2 * math.log(2), abs=1e-5)


def test_copying_the_other_frame_costs_one() -> None:
    wanted, copied = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert float(relative_error(copied, wanted, copied)) == pytest.approx(1.0)
    assert float(relative_error(wanted, wanted, copied)) == 0.0
    half = (wanted + copied) / 2
    assert float(relative_error(half, wanted, copied)) == pytest.approx(0.25)
    assert float(relative_error(wanted, wanted, wanted)) == 0.0  # a still pair


def test_ink_is_free_around_what_differs() -> None:
    images = torch.zeros(4, 3, 16, 16)
    images[0, 1, 5, 7] = 0.2  # the frames of the first clip differ in one pixel, those of the second nowhere
    found = still(images)
    assert found.shape == (4, 1, 16, 16)
    assert torch.equal(found[0], found[1])
    assert float(found[0].sum()) == 16 * 16 - 9 * 9
    assert not found[0, 0, 1:10, 3:12].any()
    assert not found[2:].any()


def test_pictures_turn_as_poses_do() -> None:
    poses = np.random.default_rng(0).uniform(0.2, 0.8, (4, 3, 2)).astype(np.float32)
    quarters = np.arange(4)
    np.testing.assert_allclose(quarter_turns(np.float32([[[0.5, 0.0]]]), np.array([1]))[0], [[1.0, 0.5]])
    edges = ((0, 1), (1, 2))
    drawn = draw_skeleton(torch.from_numpy(poses), edges, 21, 21, 1.5)
    wanted = draw_skeleton(torch.from_numpy(quarter_turns(poses, quarters)), edges, 21, 21, 1.5)
    turned = turn(drawn, torch.from_numpy(quarters * np.pi / 2).float(), "zeros")
    torch.testing.assert_close(turned, wanted, atol=1e-4, rtol=0)
    # Not square, a point stays as far from the middle: two rows above it becomes two columns to the right.
    dot = torch.zeros(1, 1, 7, 11)
    dot[0, 0, 1, 5] = 1.0
    torch.testing.assert_close(turn(dot, torch.tensor([math.pi / 2]), "zeros")[0, 0, 3, 7], torch.tensor(1.0))


def _method(**changes: float) -> KeypointGAN:
    prior = PosePrior(np.random.default_rng(0).random((5, 3, 2), np.float32), ((0, 1), (1, 2)))
    config = EncoderConfig.for_images(
        32, 32, num_keypoints=3, network="skeleton", heatmap="softmax", status="always"
    )
    torch.manual_seed(0)
    return KeypointGAN(KeypointEncoder(config), KeypointGANConfig(**changes), prior)  # type: ignore[arg-type]


def test_a_picture_that_turns_with_its_image_costs_nothing() -> None:
    method = _method()
    images = torch.rand(2, 3, 32, 32)
    picture = method.network.picture(images)
    still = torch.zeros(2)
    assert float(method.turned_loss(images, picture, still).detach()) == pytest.approx(0.0, abs=1e-9)
    half = torch.full((2,), math.pi)
    assert float(method.turned_loss(images, picture, half).detach()) > 1e-5


def test_a_painter_that_changes_nothing_costs_one() -> None:
    method = _method()
    images, drawn = torch.rand(4, 3, 16, 16), torch.rand(4, 1, 16, 16)
    torch.nn.init.zeros_(method.painter.last.weight)
    torch.nn.init.constant_(method.painter.last.bias, -50.0)  # type: ignore[arg-type]
    assert float(method.reconstruction(images, drawn).detach()) == pytest.approx(1.0)


def test_only_what_is_near_a_skeleton_can_be_painted() -> None:
    line = torch.zeros(1, 1, 16, 16)
    line[..., 8] = 1.0
    covered = near(line)[0, 0]
    assert torch.equal(covered[8], (torch.arange(16) - 8).abs().le(3).float())
    method = _method()
    images = torch.rand(4, 3, 16, 16)
    blank = torch.zeros(4, 1, 16, 16)
    assert float(method.reconstruction(images, blank).detach()) == pytest.approx(1.0)
    assert float(method.reconstruction(images, line.expand(4, -1, -1, -1)).detach()) != pytest.approx(1.0)


def test_each_loss_reaches_what_it_is_to_train() -> None:
    """Images train Φ through η, not η; the generator's loss trains Φ, not D; one step trains everything."""
    method = _method(regressor_steps=1, direct_steps=2)
    network = method.network
    assert isinstance(network, SkeletonNetwork)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 2, 32, 32, 3), np.uint8))
    frames[:, 1, 8:] = frames[:, 0, 8:]  # what differs is above

    def step() -> dict[str, torch.Tensor]:
        method.zero_grad()
        found, more = method.see(frames.flatten(0, 1))
        extra = {**method.extra(2, np.random.default_rng(0)), **more}
        placed = Keypoints(*(part.unflatten(0, (2, 2)) for part in found[:3]))
        return method.loss(Clips(frames, None, torch.zeros(2, 2, 2, 3), extra), placed)

    def reached() -> set[str]:
        parts = {"Φ": network.translator, "η": network.regressor, "D": method.discriminator}
        parts["Ψ"] = method.painter
        return {
            name
            for name, part in parts.items()
            if any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        }

    expected = {
        "regression": {"η"}, "reconstruction": {"Φ", "Ψ"}, "cycle": {"Φ"}, "turned": {"Φ"}, "still": {"Φ"},
        "generator": {"Φ"}, "direct": {"Φ", "Ψ"}, "discriminator": {"D"}, "penalty": {"D"},
    }  # fmt: skip
    assert step().keys() == {"total", "regression"}  # η alone
    terms = step()
    assert terms.keys() == {"total", *expected}
    for name, wanted in expected.items():
        method.zero_grad()
        terms[name].backward(retain_graph=True)  # type: ignore[no-untyped-call]
        assert reached() == wanted, name
    terms["total"].backward()  # type: ignore[no-untyped-call]
    assert reached() == {"Φ", "η", "D", "Ψ"}
    weighted = sum(float(terms[name].detach()) for name in expected if name not in ("cycle", "penalty"))
    weighted += 0.3 * float(terms["cycle"].detach()) + 0.15 * float(terms["penalty"].detach())
    assert float(terms["total"].detach()) == pytest.approx(weighted, rel=1e-5)
    assert "penalty" not in step()
    assert "direct" not in step()
    method.eval()
    values = {name: float(term.detach()) for name, term in step().items()}
    assert values["total"] == pytest.approx(
        values["reconstruction"] + 0.3 * values["cycle"] + values["turned"] + values["still"], rel=1e-5
    )


def test_a_fixed_module_lets_gradients_through() -> None:
    layer, inputs = nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    fixed(layer, inputs).sum().backward()
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, layer.weight.detach())
    assert layer.weight.grad is None


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
        96,
        96,
        num_keypoints=4,
        network="skeleton",
        heatmap="softmax",
        status="always",
        edges=[[0, 1], (1, 3)],
    )
    encoder = KeypointEncoder(config).eval()
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    encoder.save_pretrained(tmp_path)
    again = KeypointEncoder.from_pretrained(tmp_path)
    assert again.config.edges == ((0, 1), (1, 3))
    found = again.encode(frames, descriptors=True)
    assert found.shape == (2, 4, 3 + again.descriptor_dim)
    assert np.array_equal(found, encoder.encode(frames, descriptors=True))
    assert (found[..., 2] == 1).all()


def test_edges_are_pairs_of_the_encoders_keypoints() -> None:
    with pytest.raises(UserError, match="edges must be pairs of different keypoints from 0 to 3"):
        EncoderConfig(num_keypoints=4, edges=((0, 4),))
