"""Second peaks of feature maps: by hand, and the kernel against PyTorch's operations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from mint_rl.keypoints.second_peaks import portable_second_peaks, second_peaks


def _map(side: int, heights: dict[tuple[int, int], float]) -> torch.Tensor:
    """A map (1, 1, side, side) of −1 with the heights at (row, column)."""
    values = torch.full((1, 1, side, side), -1.0)
    for (row, column), height in heights.items():
        values[0, 0, row, column] = height
    return values


@pytest.mark.parametrize("function", [second_peaks, portable_second_peaks])
def test_by_hand(function: object) -> None:
    assert callable(function)
    # Two places at a distance of 0.5 of the side, and a shoulder of the first at 0.1.
    maps = _map(11, {(2, 3): 9.0, (2, 4): 8.0, (7, 3): 7.0})
    places, heights = function(maps, 0.3)
    assert places[0, 0].tolist() == pytest.approx([0.3, 0.7])
    assert float(heights[0, 0]) == pytest.approx(math.log1p(math.exp(7.0)))
    # Nothing else is as far as that but the ground, which is a peak of −1 wherever it is flat.
    places, heights = function(maps, 0.6)
    assert float(heights[0, 0]) == pytest.approx(math.log1p(math.exp(-1.0)))


@pytest.mark.parametrize("function", [second_peaks, portable_second_peaks])
def test_the_slope_of_the_first_peak_is_none(function: object) -> None:
    assert callable(function)
    line = torch.arange(32.0)
    maps = 20.0 - (line[:, None] - 9) ** 2 - (line - 20) ** 2  # a hill
    _, heights = function(maps[None, None], 0.2)
    assert float(heights[0, 0]) == 0.0


def test_the_kernel_gives_the_same() -> None:
    torch.manual_seed(0)
    maps = functional.interpolate(torch.randn(3, 7, 9, 8), size=(40, 33), mode="bicubic") * 5
    for apart in (0.07, 0.2, 1.2, 2.0):
        found, wanted = second_peaks(maps, apart), portable_second_peaks(maps, apart)
        torch.testing.assert_close(found[1], wanted[1], rtol=1e-6, atol=1e-6)
        there = wanted[1] > 0
        torch.testing.assert_close(found[0][there], wanted[0][there], rtol=0, atol=1e-6)
        assert bool(there.any()) == (apart < 1.5)
