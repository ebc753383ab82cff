"""Keypoints drawn into pictures, and pictures written as PNG files."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mint_rl.files import atomic_path

Frame = NDArray[np.uint8]
Points = NDArray[np.float32]


def keypoint_colours(count: int) -> NDArray[np.uint8]:
    """(count, 3) RGB colours, one an identity. Hues step by the golden ratio, so that neighbours differ."""
    hues = (0.05 + 0.618034 * np.arange(count)) % 1.0
    rgb = [colorsys.hsv_to_rgb(hue, 0.95, 0.85 if i % 2 else 0.6) for i, hue in enumerate(hues)]
    return np.asarray(np.rint(np.asarray(rgb) * 255), dtype=np.uint8)


def draw_keypoints(
    frame: Frame, keypoints: Points, size: int = 384, active: float = 0.5, labels: bool = False
) -> Frame:
    """A copy of `frame` at `size`×`size` pixels with a disc on each active keypoint.

    Args:
        frame: (H, W, 3) uint8 RGB.
        keypoints: (K, ≥3): x and y in [0, 1] of the image, status in [0, 1]; further columns are ignored.
        size: side of the picture in pixels; the frame is enlarged without smoothing.
        active: keypoints whose status is not above this are left out.
        labels: write each keypoint's index beside its disc.
    """
    picture = np.ascontiguousarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_NEAREST))
    radius = max(2, round(size / 75))
    colours = keypoint_colours(len(keypoints))
    for index in np.flatnonzero(keypoints[:, 2] > active):
        # Coordinates run from the centre of the first pixel to the centre of the last; fixed point keeps
        # the discs from jumping from pixel to pixel in a video.
        x, y = keypoints[index, :2] * (size - 1) * 16
        centre = (round(float(x)), round(float(y)))
        colour = tuple(int(c) for c in colours[index])
        cv2.circle(picture, centre, (radius + 2) * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
        cv2.circle(picture, centre, radius * 16, colour, -1, cv2.LINE_AA, shift=4)
        if labels:
            corner = (centre[0] // 16 + radius + 2, centre[1] // 16 - radius)
            cv2.putText(
                picture, str(index), corner, cv2.FONT_HERSHEY_SIMPLEX, size / 1000, colour, 1, cv2.LINE_AA
            )
    return np.asarray(picture, dtype=np.uint8)


def draw_trails(
    frame: Frame, history: Sequence[Points], size: int = 384, active: float = 0.5, length: int = 8
) -> Frame:
    """Like `draw_keypoints` for the last element of `history`, with a line along the last `length` positions.

    A line is drawn only between steps at which the keypoint was active at both ends.
    """
    recent = np.stack([points[:, :3] for points in history[-length - 1 :]])
    canvas = np.ascontiguousarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_NEAREST))
    colours = keypoint_colours(recent.shape[1])
    pixels = np.rint(recent[:, :, :2] * (size - 1) * 16).astype(int)
    thickness = max(1, round(size / 200))
    for earlier, later in zip(range(len(recent) - 1), range(1, len(recent)), strict=True):
        both = (recent[earlier, :, 2] > active) & (recent[later, :, 2] > active)
        for index in np.flatnonzero(both):
            start, end = tuple(map(int, pixels[earlier, index])), tuple(map(int, pixels[later, index]))
            colour = tuple(int(c) for c in colours[index])
            cv2.line(canvas, start, end, colour, thickness, cv2.LINE_AA, shift=4)
    return draw_keypoints(np.asarray(canvas, dtype=np.uint8), recent[-1], size=size, active=active)


def contact_sheet(pictures: Sequence[Frame], columns: int = 4, gap: int = 4) -> Frame:
    """Pictures of equal size in a grid on white: (rows·(H+gap)+gap, columns·(W+gap)+gap, 3) uint8."""
    height, width, _ = pictures[0].shape
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def write_png(path: str | Path, picture: Frame) -> Path:
    """Write (H, W, 3) uint8 RGB as a PNG file."""
    path = Path(path)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path
