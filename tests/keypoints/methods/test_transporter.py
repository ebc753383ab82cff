"""Transporter: its equation by hand, where its gradient goes, and what its encoder says."""

from __future__ import annotations

import pytest
import torch

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.method import Clips
from mint_rl.keypoints.methods.transporter import (
    Transporter,
    TransporterConfig,
    reconstruction_loss,
    transport,
    union,
)


def _method(**settings: object) -> Transporter:
    torch.manual_seed(0)
    config = TransporterConfig(width=4, **settings)  # type: ignore[arg-type]
    encoder = KeypointEncoder(EncoderConfig.for_images(32, 32, num_keypoints=3, **config.encoder_settings()))
    return config.build(encoder)


def _clips() -> Clips:
    frames = torch.randint(0, 256, (4, 2, 32, 32, 3), dtype=torch.uint8)
    return Clips(frames, None, torch.eye(3)[:2].expand(4, 2, 2, 3))


def test_transport_by_hand() -> None:
    """0.75·0.5·2 + 0.5·5 = 3.25, then nothing but the source, and nothing but the target."""
    features = transport(
        torch.tensor([2.0, 2.0, 2.0]), torch.tensor([5.0, 5.0, 5.0]),
        torch.tensor([0.25, 0.0, 0.7]), torch.tensor([0.5, 0.0, 1.0]),
    )  # fmt: skip
    assert features.tolist() == [3.25, 2.0, 5.0]


def test_keypoints_together_cut_out_what_they_do_one_after_the_other() -> None:
    maps = torch.rand(2, 5, 4, 6)
    left = torch.ones(2, 4, 6)
    for index in range(5):
        left = left * (1 - maps[:, index])
    torch.testing.assert_close(1 - union(maps)[:, 0], left)
    assert union(torch.tensor([[0.5, 0.2]])[..., None, None]).item() == pytest.approx(0.6)


def test_the_loss_of_an_even_image_is_the_power_of_the_target() -> None:
    """The decoder begins with 0, half-way between black and white."""
    assert reconstruction_loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.5])).item() == 2.125
    method, clips = _method(), _clips()
    keypoints = method.encoder(clips.frames.flatten(0, 1))
    placed = type(keypoints)(*(part.unflatten(0, (4, 2)) for part in keypoints[:3]))
    wanted = ((clips.frames[:, 1].double() - 127.5) / 255).square().mean().item()
    assert method.loss(clips, placed)["total"].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("local", [False, True])
def test_only_the_target_is_learned_from(local: bool) -> None:
    method, clips = _method(local_features=local), _clips()
    torch.nn.init.normal_(method.decoder.last.weight)
    keypoints = method.encoder(clips.frames.flatten(0, 1))
    placed = type(keypoints)(*(part.detach().unflatten(0, (4, 2)) for part in keypoints[:3]))
    placed.coordinates.requires_grad_()
    method.loss(clips, placed)["total"].backward()
    assert placed.coordinates.grad is not None
    assert not placed.coordinates.grad[:, 0].any()
    assert placed.coordinates.grad[:, 1].any()


def test_all_keypoints_are_active() -> None:
    frames = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    encoder = _method().encoder
    for mode in (encoder.train(), encoder.eval()):
        assert torch.equal(mode(frames).status, torch.ones(3, 3))


@pytest.mark.parametrize("settings", [{"gap": 0}, {"sigma": 0.0}])
def test_settings_that_cannot_be(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"loss.{next(iter(settings))}"):
        TransporterConfig(**settings)  # type: ignore[arg-type]
