"""Keypoints that know nothing of the image."""

from __future__ import annotations

import numpy as np
import pytest

from mint_rl.keypoints.controls import GridKeypoints, RandomKeypoints

FRAMES = np.zeros((200, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("count", [1, 2, 7, 25])
def test_all_are_active_and_inside(count: int) -> None:
    for control in (RandomKeypoints(count), GridKeypoints(count)):
        found = control.encode(FRAMES)
        assert found.shape == (200, count, 3)
        assert found.dtype == np.float32
        assert (found[..., 2] == 1).all()
        assert (found[..., :2] >= 0).all()
        assert (found[..., :2] <= 1).all()


def test_random_places_are_drawn_anew_for_every_frame_and_decided_by_the_seed() -> None:
    found = RandomKeypoints(25, 3).encode(FRAMES)
    assert len(np.unique(found[..., :2])) > 0.99 * found[..., :2].size
    assert found[..., :2].mean() == pytest.approx(0.5, abs=0.02)
    assert (found == RandomKeypoints(25, 3).encode(FRAMES)).all()
    assert (found != RandomKeypoints(25, 4).encode(FRAMES))[..., :2].any()


def test_a_grid_of_25_is_five_by_five_and_stands_still() -> None:
    found = GridKeypoints(25).encode(FRAMES)
    assert (found == found[0]).all()
    assert sorted(set(found[0, :, 0].tolist())) == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert len(set(map(tuple, found[0, :, :2].tolist()))) == 25
