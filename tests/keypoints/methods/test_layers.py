"""Gaussian maps by hand, and features whose cells are where they are said to be."""

from __future__ import annotations

import math

import pytest
import torch

from mint_rl.keypoints.methods.layers import Decoder, ImageFeatures, LocalFeatures, gaussian_maps


def test_a_gaussian_by_hand() -> None:
    """A keypoint on pixel (6, 4) of a 9×11 image, cells at pixels 0, 4, 8: d is 6, 2, 2 and 4, 0, 4."""
    coordinates = torch.tensor([[6 / 10, 4 / 8]])
    maps = gaussian_maps(coordinates, (9, 11), 4, 0, sigma=3 / 11)
    assert maps.shape == (1, 3, 3)
    for row, down in enumerate((4, 0, 4)):
        for column, across in enumerate((6, 2, 2)):
            wanted = math.exp(-(down**2 + across**2) / (2 * 3**2))
            assert maps[0, row, column] == pytest.approx(wanted, rel=1e-5)
    inner = gaussian_maps(coordinates, (9, 11), 1, 3, sigma=3 / 11)
    assert inner.shape == (1, 3, 5)
    assert inner[0, 1, 3] == 1.0


@pytest.mark.parametrize("kind", [ImageFeatures, LocalFeatures])
def test_a_cell_sees_its_pixel_and_what_is_around_it(kind: type[ImageFeatures | LocalFeatures]) -> None:
    """The gradient of one cell to the image is centred on its pixel; of the local features, 7 pixels wide."""
    torch.manual_seed(0)
    features = kind(3, 4).eval()
    image = torch.rand(1, 3, 40, 48, requires_grad=True)
    maps = features(image)
    row, column = 5, 4
    cells = [len(range(features.offset, side - features.offset, features.stride)) for side in (40, 48)]
    assert list(maps.shape[1:]) == [features.out_channels, *cells]
    maps[0, :, row, column].sum().backward()
    assert image.grad is not None
    seen = image.grad[0].abs().sum(0) > 0
    rows, columns = (seen.any(axis).nonzero()[:, 0] for axis in (1, 0))
    centre = [features.offset + features.stride * place for place in (row, column)]
    assert [(axis.min() + axis.max()).item() / 2 for axis in (rows, columns)] == centre
    if kind is LocalFeatures:
        assert len(rows) == len(columns) == 7


@pytest.mark.parametrize(("doublings", "shape"), [(2, (13, 11)), (0, (44, 35))])
def test_a_decoder_gives_images_of_any_size(doublings: int, shape: tuple[int, int]) -> None:
    decoder = Decoder(6, 4, doublings, 3)
    images = decoder(torch.rand(2, 6, *shape), (50, 41))
    assert images.shape == (2, 3, 50, 41)
    assert not images.any()  # until it has learned something
