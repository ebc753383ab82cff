"""Predicted keypoints beside those that came: drawn into pictures."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mint_rl.viz.overlay import Frame, Points, fixed_point, scaled

# What was, what came, what was predicted: told apart by light as well as by hue.
PAST, CAME, PREDICTED = (130, 130, 130), (20, 60, 200), (245, 110, 0)
_LEGEND = (("seen before", PAST), ("came", CAME), ("predicted", PREDICTED))
_HEIGHT = 20  # of the legend in pixels of a picture of 384
_SHADOW = 0.35  # how strongly the later frame shines through


def draw_prediction(
    frame: Frame,
    past: Points,
    came: Points,
    predicted: Points,
    followed: NDArray[np.bool_],
    later: Frame | None = None,
    size: int = 384,
) -> Frame:
    """A copy of `frame` with the trails of its active keypoints: before it, after it, and as predicted.

    Args:
        frame: (H, W, 3) uint8 RGB, the last frame that the prediction knows.
        past: (T, K, ≥3) keypoints of the frames up to this one, which is the last; at least that.
        came, predicted: (S, K, ≥2) places of the S frames after it.
        followed: (S, K) whether what came is still the same keypoint; its trail ends where it is not.
        later: the frame that the trails lead to; it shines through.
        size: Longer side of the picture in pixels.
    """
    picture = scaled(frame, size)
    if later is not None:
        shade = scaled(later, size)
        picture = np.asarray(cv2.addWeighted(picture, 1 - _SHADOW, shade, _SHADOW, 0.0), dtype=np.uint8)
    active = past[..., 2] > 0.5
    for keypoint in np.flatnonzero(active[-1]):
        here = past[-1:, keypoint, :2]
        since = len(past) - int(active[::-1, keypoint].cumprod().sum())
        _trail(picture, past[since:, keypoint, :2], PAST)
        steps = int(followed[:, keypoint].sum())
        _trail(picture, np.concatenate([here, came[:steps, keypoint, :2]]), CAME)
        _trail(picture, np.concatenate([here, predicted[:, keypoint, :2]]), PREDICTED)
    _legend(picture)
    return picture


def _trail(picture: Frame, places: Points, colour: tuple[int, int, int]) -> None:
    """A line through places (N, 2), with a disc at its end."""
    size = max(picture.shape[:2])
    points = fixed_point(places, picture).astype(np.int32)
    edges = ((255, 255, 255), 2), (colour, 0)
    for ink, extra in edges if len(places) > 1 else ():
        width = max(1, round(size / 250)) + extra
        cv2.polylines(picture, [points], False, ink, width, cv2.LINE_AA, shift=4)
    for ink, extra in edges:
        end = tuple(map(int, points[-1]))
        cv2.circle(picture, end, (max(2, round(size / 130)) + extra // 2) * 16, ink, -1, cv2.LINE_AA, shift=4)


def _legend(picture: Frame) -> None:
    """The colours' names along the upper edge."""
    scale = max(picture.shape[:2]) / 384
    cv2.rectangle(picture, (0, 0), (picture.shape[1], round(_HEIGHT * scale)), (255, 255, 255), -1)
    left = 8 * scale
    for text, colour in _LEGEND:
        centre = (round(left), round(_HEIGHT / 2 * scale))
        cv2.circle(picture, centre, max(2, round(4 * scale)), colour, -1, cv2.LINE_AA)
        place = (round(left + 8 * scale), round(14 * scale))
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * scale, colour, 1, cv2.LINE_AA)
        left += (24 + 7.2 * len(text)) * scale
