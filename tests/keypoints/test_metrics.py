"""The metrics of appendix D on videos small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mint_rl.errors import UserError
from mint_rl.keypoints.metrics import VideoMetrics, identity, keypoint_hits, mean_metrics, video_metrics

LEFT, RIGHT, FLOOR = 1, 2, 7


def _masks(frames: int) -> np.ndarray:
    """11×11 pixels: object 1 is the 3×3 at the top left, 2 the 2×2 at the bottom right, 7 is no object."""
    mask = np.zeros((11, 11), np.uint8)
    mask[:3, :3], mask[9:, 9:], mask[5, 5] = LEFT, RIGHT, FLOOR
    return np.repeat(mask[None], frames, 0)


def _at(*places: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    """Keypoints at columns and rows, with a status."""
    return [(x / 10, y / 10, status) for x, y, status in places]


def test_where_keypoints_lie() -> None:
    keypoints = np.array(
        [_at((1, 2, 1.0), (10, 10, 0.9), (5, 5, 1.0), (8, 3, 1.0), (0, 0, 0.4), (2.6, 0, 1.0))]
    )
    hits = keypoint_hits(keypoints, _masks(1), [LEFT, RIGHT])
    assert hits.tolist() == [[LEFT, RIGHT, 0, 0, -1, 0]]


def test_metrics_by_hand() -> None:
    keypoints = np.array(
        [
            # both objects detected, two keypoints on the left one, one on nothing
            _at((0, 0, 1), (1, 1, 1), (9, 9, 1), (5, 5, 1)),
            # the right one lost; its keypoint went to the left one; the last is off
            _at((0, 0, 1), (4, 4, 1), (2, 2, 1), (5, 5, 0)),
            # both again, one keypoint each
            _at((0, 0, 1), (4, 4, 0), (9, 10, 1), (5, 5, 0)),
        ]
    )
    found = video_metrics(keypoints, _masks(3), [LEFT, RIGHT], keypoint_area=4.0)
    assert found.dop == pytest.approx((2 + 1 + 2) / 6)
    assert found.top == pytest.approx((1 + 1) / 4)
    assert found.uak == pytest.approx((1 + 1 + 0) / 3)
    assert found.active == pytest.approx((4 + 3 + 2) / 3)
    # |9−8|/9, |4−4|/4; |9−8|/9, |4−0|/4; |9−4|/9, |4−4|/4
    assert found.rak == pytest.approx((1 / 9 + 0 + 1 / 9 + 1 + 5 / 9 + 0) / 6)
    # kept of the three in frame 0: the first; of the two in frame 1: the first
    assert found.identity == pytest.approx((1 + 1) / (3 + 2))
    assert math.isnan(found.identity_5)
    hits = keypoint_hits(keypoints, _masks(3), [LEFT, RIGHT])
    assert identity(hits, 1) == found.identity
    assert identity(hits, 2) == pytest.approx(2 / 3)  # the keypoint on the right object came back


def test_identity_over_longer_gaps_by_hand() -> None:
    # one keypoint that leaves object 1 for 2 in frame 5 and comes back in frame 20; one that stays on 2
    hits = np.array([[LEFT if t < 5 or t == 20 else RIGHT, RIGHT] for t in range(22)])
    assert identity(hits, 1) == pytest.approx((42 - 3) / 42)  # 4→5, 19→20, 20→21 change the object
    assert identity(hits, 5) == pytest.approx((11 + 17) / 34)  # 5–14 stay, 16→21 stays
    assert identity(hits, 20) == pytest.approx((1 + 0 + 2) / 4)  # frames 0→20 and 1→21
    assert math.isnan(identity(hits, 22))
    assert math.isnan(identity(hits, 100))


def test_an_object_out_of_sight_is_not_missed() -> None:
    masks = _masks(2)
    masks[1][masks[1] == RIGHT] = 0
    keypoints = np.array([_at((0, 0, 1), (9, 9, 1)), _at((0, 0, 1), (9, 9, 1))])
    found = video_metrics(keypoints, masks, [LEFT, RIGHT])
    assert (found.dop, found.top, found.uak) == (1.0, 1.0, 0.5)


def test_nothing_active_and_nothing_to_see() -> None:
    off = np.array([_at((0, 0, 0.0))] * 2)
    found = video_metrics(off, _masks(2), [LEFT, RIGHT])
    assert (found.dop, found.top, found.uak, found.rak, found.active) == (0.0, 0.0, 0.0, 1.0, 0.0)
    assert math.isnan(found.identity)
    assert math.isnan(video_metrics(off, np.zeros((2, 5, 5), np.uint8), [LEFT]).dop)


def test_mean_over_videos_leaves_out_what_is_undefined() -> None:
    a = VideoMetrics(1.0, 0.5, 2.0, 1.0, math.nan, 0.2, 0.3, 3.0)
    b = VideoMetrics(0.0, 1.0, 4.0, 1.0, 0.8, 0.6, 0.1, 5.0)
    assert mean_metrics([a, b]) == VideoMetrics(0.5, 0.75, 3.0, 1.0, 0.8, pytest.approx(0.4), 0.2, 4.0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="same T"):
        keypoint_hits(np.zeros((2, 5, 3), np.float32), _masks(3), [LEFT])
    with pytest.raises(UserError, match="background"):
        keypoint_hits(np.zeros((3, 5, 3), np.float32), _masks(3), [0, LEFT])
