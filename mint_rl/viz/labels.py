"""Small numbers beside points in a picture, placed so that they can be read where points crowd."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Where a label may stand beside its point, the favourite first.
_DIRECTIONS = ((1, -1), (1, 1), (-1, -1), (-1, 1), (1, 0), (-1, 0), (0, -1), (0, 1))


def write_labels(
    picture: NDArray[np.uint8],
    texts: Sequence[str],
    points: NDArray[np.int64],
    colours: Sequence[tuple[int, ...]],
    radius: int,
    scale: float,
) -> None:
    """Write a text beside each point (N, 2), x and y in pixels, into `picture`, with a white edge.

    Each label takes the first direction in which it hits no disc of `radius` around a point, no label before
    it and no border; where there is none, the direction that hits the least.
    """
    taken = [(x - radius, y - radius, x + radius, y + radius) for x, y in points.tolist()]
    for text, (x, y), colour in zip(texts, points.tolist(), colours, strict=True):
        (width, height), _ = cv2.getTextSize(text, _FONT, scale, 1)
        boxes = [_box(x, y, across, down, width, height, radius) for across, down in _DIRECTIONS]
        box = min(boxes, key=lambda box: _overlap(box, taken) + _outside(box, picture.shape))
        taken.append(box)
        corner = (box[0], box[3])
        cv2.putText(picture, text, corner, _FONT, scale, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.putText(picture, text, corner, _FONT, scale, colour, 1, cv2.LINE_AA)


_Box = tuple[int, int, int, int]  # left, top, right, bottom


def _box(x: int, y: int, across: int, down: int, width: int, height: int, radius: int) -> _Box:
    """The box of a text of this size in one direction from the point."""
    left = x + (radius + 1 if across > 0 else -radius - 1 - width if across < 0 else -width // 2)
    top = y + (radius // 2 if down > 0 else -radius // 2 - height if down < 0 else -height // 2)
    if across == 0:
        top += down * (radius // 2 + 1)
    return left, top, left + width, top + height


def _overlap(box: _Box, others: Sequence[_Box]) -> int:
    """Pixels that a box shares with others."""
    return sum(
        max(0, min(box[2], other[2]) - max(box[0], other[0]))
        * max(0, min(box[3], other[3]) - max(box[1], other[1]))
        for other in others
    )


def _outside(box: _Box, shape: tuple[int, ...]) -> int:
    """A great number for a box that is cut off."""
    height, width = shape[:2]
    return 0 if box[0] >= 0 and box[1] >= 0 and box[2] < width and box[3] < height else 10_000
