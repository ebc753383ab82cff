"""Descriptors: crops are cut where they should be, see what the network sees, and move with the scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mint_rl.errors import UserError
from mint_rl.keypoints.descriptors import crops_at, receptive_side
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.pretrained import load_encoder

MAPS = {"descriptor_stages": (4,), "descriptor_crops": False}
CROPS = {"descriptor_stages": (1, 2, 3), "descriptor_crops": True}


def _encoder(**settings: object) -> KeypointEncoder:
    """Untrained, with BatchNorm statistics that do something."""
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(**settings))  # type: ignore[arg-type]
    for module in encoder.network:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return encoder.eval().requires_grad_(False)


def _frames(number: int = 2, height: int = 96, width: int = 96) -> Tensor:
    values = np.random.default_rng(0).integers(0, 256, (number, height, width, 3), np.uint8)
    return torch.from_numpy(values)


def _at(pixels: list[list[float]], height: int = 96, width: int = 96, number: int = 2) -> Tensor:
    """Places given as column, row, the same for every frame."""
    places = torch.tensor(pixels) / torch.tensor([width - 1, height - 1])
    return places.expand(number, -1, -1)


def test_crops_are_cut_around_their_places() -> None:
    images = torch.rand(2, 3, 20, 30)
    places = _at([[8.0, 5.0], [8.5, 5.0], [0.0, 19.0]], 20, 30)
    crops = crops_at(images, places, 5).view(2, 3, 3, 5, 5)
    torch.testing.assert_close(crops[1, 0], images[1, :, 3:8, 6:11])
    between = (images[1, :, 3:8, 6:11] + images[1, :, 3:8, 7:12]) / 2
    torch.testing.assert_close(crops[1, 1], between, rtol=0, atol=1e-5)
    rows, columns = torch.tensor([17, 18, 19, 19, 19]), torch.tensor([0, 0, 0, 1, 2])
    torch.testing.assert_close(crops[0, 2], images[0][:, rows[:, None], columns])


def test_receptive_side_is_as_far_as_an_output_looks() -> None:
    encoder = _encoder()
    image = torch.zeros(1, 3, 96, 96, requires_grad=True)
    encoder.network[:9](image)[0, 0, 8, 8].backward()
    columns = image.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert receptive_side((5, 3, 3), (3, 2, 1)) == 23 == int(columns[-1] - columns[0]) + 1
    assert receptive_side((5,), (3,)) == 5


@pytest.mark.parametrize(("height", "width"), [(96, 96), (120, 160)])
def test_on_the_networks_grid_crops_give_the_networks_features(height: int, width: int) -> None:
    """Output j of the third stage looks at pixels around column 6j + 1, or 12j + 1 in larger images."""
    strides = (3, 2, 1 if width < 100 else 2)
    encoder = _encoder(image_size=(height, width), down_strides=strides, **CROPS)
    frames = _frames(2, height, width)
    step = 6 * strides[2]
    found = encoder.describe(frames, _at([[3.0 * step + 1, 4.0 * step + 1]], height, width))
    planes = encoder.normalise(frames)
    first, second, third = (encoder.network[:layers](planes) for layers in (3, 6, 9))
    fine = strides[2]
    expected = [
        first[..., 4 * 2 * fine, 3 * 2 * fine],
        second[..., 4 * fine, 3 * fine],
        third[..., 4, 3],
    ]
    assert found.shape == (2, 1, encoder.descriptor_dim) == (2, 1, 100)
    torch.testing.assert_close(found[:, 0], torch.cat(expected, 1), rtol=1e-4, atol=1e-4)


def test_a_scene_that_moves_keeps_the_descriptors_of_crops_but_not_those_of_maps() -> None:
    frames = _frames()
    moved = frames.roll((2, 1), (1, 2))
    before, after = [[50.3, 40.6], [30.0, 61.2]], [[51.3, 42.6], [31.0, 63.2]]
    crops, maps = _encoder(**CROPS), _encoder(**MAPS)
    change, expected = (
        (encoder.describe(frames, _at(before)) - encoder.describe(moved, _at(after))).abs().mean()
        for encoder in (crops, maps)
    )
    assert change < 0.01 * expected


@pytest.mark.parametrize("settings", [MAPS, CROPS, {"descriptor_stages": (2, 5), "descriptor_crops": False}])
def test_keypoints_come_with_the_descriptors_of_their_places(settings: dict[str, object]) -> None:
    encoder = _encoder(**settings)
    frames = _frames()
    found = encoder(frames, descriptors=True)
    assert found.descriptors.shape == (2, 25, encoder.descriptor_dim)
    torch.testing.assert_close(found.descriptors, encoder.describe(frames, found.coordinates))
    encoded = encoder.encode(frames.numpy(), descriptors=True)
    torch.testing.assert_close(torch.from_numpy(encoded[..., 3:]), found.descriptors, rtol=1e-4, atol=1e-4)


def test_what_descriptors_are_is_saved_with_the_encoder(tmp_path: Path) -> None:
    encoder = _encoder(descriptor_stages=(1, 3), descriptor_crops=True)
    encoder.save_pretrained(tmp_path)
    assert load_encoder(tmp_path).config == encoder.config


def test_encoders_from_before_there_was_a_choice_keep_their_descriptors() -> None:
    written = EncoderConfig(**CROPS).to_dict()  # type: ignore[arg-type]
    del written["descriptor_stages"], written["descriptor_crops"]
    assert EncoderConfig.from_dict(written) == EncoderConfig(**MAPS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"descriptor_stages": ()},
        {"descriptor_stages": (0, 1)},
        {"descriptor_stages": (3, 1)},
        {"descriptor_stages": (2, 2)},
        {"descriptor_stages": 4},
        {"descriptor_stages": (7,), "descriptor_crops": False},
        {"descriptor_stages": (4,), "descriptor_crops": True},
        {"descriptor_crops": 1},
    ],
)
def test_descriptors_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        EncoderConfig(**settings)  # type: ignore[arg-type]
