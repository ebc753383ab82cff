"""Random changes to stacked frames: the frames of a sample alike, samples apart, and nothing else changed."""

from __future__ import annotations

import math

import pytest
import torch

from mint_rl.training.image_augmentation import random_colours, random_rotation, random_shift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_random_shift_moves_all_frames_of_a_sample_together() -> None:
    images = torch.randint(0, 256, (6, 2, 9, 9, 3), dtype=torch.uint8)
    images[:, 1] = 255 - images[:, 0]
    shifted = random_shift(images, 2, generator())
    assert shifted.dtype == torch.uint8
    assert torch.equal(shifted[:, 1], 255 - shifted[:, 0])
    moves = set()
    for before, after in zip(images[:, 0], shifted[:, 0], strict=True):
        found = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(after[2:-2, 2:-2], before[2 + dy : 7 + dy, 2 + dx : 7 + dx])
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 1


def test_random_shift_repeats_the_border() -> None:
    image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3, 1)
    rows = {tuple(random_shift(image, 1, generator(seed))[0, 0, 0, :, 0].tolist()) for seed in range(40)}
    columns = [(0, 0, 1), (0, 1, 2), (1, 2, 2)]
    # The first row of what is seen is the first or, when moved up, the second of the image.
    assert rows == {tuple(3 * row + column for column in chosen) for row in (0, 1) for chosen in columns}


def test_a_disc_stays_when_turned_and_a_bar_turns_by_up_to_the_limit() -> None:
    side = 65
    y, x = torch.meshgrid(*(torch.arange(side) - side // 2.0,) * 2, indexing="ij")
    disc = (255 * ((x**2 + y**2).sqrt() < 20)).to(torch.uint8)
    bar = (255 * ((x.abs() < 3) & (y.abs() < 25))).to(torch.uint8)
    images = torch.stack([disc, bar], -1)[None, None].expand(30, 2, side, side, 2).contiguous()
    turned = random_rotation(images, 10.0, generator()).float()
    assert (turned[..., 0] - images[..., 0].float()).abs().mean() < 3
    torch.testing.assert_close(turned[:, 0], turned[:, 1])
    weight = turned[:, 0, ..., 1]
    covariance = (weight * x * y).sum((1, 2)) / (weight * (y**2 - x**2)).sum((1, 2))
    degrees = torch.rad2deg(torch.atan(2 * covariance) / 2)
    assert degrees.abs().max() < 10.5
    assert degrees.min() < -5
    assert degrees.max() > 5


def test_colours_change_by_one_linear_map_a_sample() -> None:
    images = torch.randint(64, 192, (4, 2, 5, 5, 3), dtype=torch.uint8)
    changed = random_colours(images, 0.3, generator())
    assert changed.dtype == torch.uint8
    maps = []
    for before, after in zip(images, changed, strict=True):
        colours = torch.cat([before.reshape(-1, 3).float(), torch.ones(50, 1)], 1)
        found = torch.linalg.lstsq(colours, after.reshape(-1, 3).float()).solution
        torch.testing.assert_close(colours @ found, after.reshape(-1, 3).float(), atol=1.0, rtol=0)
        assert (found[:3] - torch.eye(3)).abs().max() < 0.35
        maps.append(found)
    assert (maps[0] - maps[1]).abs().max() > 0.1
    # Mid-grey is moved by half the strength at most.
    assert (
        random_colours(torch.full((9, 1, 1, 1, 3), 127, dtype=torch.uint8), 0.2, generator()).float() - 127
    ).abs().max() <= 26.5


@pytest.mark.parametrize("change", [random_shift, random_rotation, random_colours])
def test_nothing_asked_nothing_changed_and_the_generator_decides(change) -> None:  # type: ignore[no-untyped-def]
    images = torch.randint(0, 256, (3, 2, 12, 12, 3), dtype=torch.uint8)
    assert change(images, 0, generator()) is images
    amount = {random_shift: 3, random_rotation: math.degrees(0.5), random_colours: 0.5}[change]
    assert torch.equal(change(images, amount, generator(1)), change(images, amount, generator(1)))
    assert not torch.equal(change(images, amount, generator(1)), change(images, amount, generator(2)))
    assert change(images, amount, generator()).shape == images.shape
