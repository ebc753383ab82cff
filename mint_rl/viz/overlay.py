"""Keypoints drawn into pictures, and pictures written as PNG files."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mint_rl.files import atomic_path
from mint_rl.viz.labels import write_labels

Frame = NDArray[np.uint8]
Points = NDArray[np.float32]
_LINE = (0, 0, 0)  # of a skeleton's edges


def keypoint_colours(count: int) -> NDArray[np.uint8]:
    """(count, 3) RGB colours, one an identity. Hues step by the golden ratio, so that neighbours differ."""
    hues = (0.05 + 0.618034 * np.arange(count)) % 1.0
    rgb = [colorsys.hsv_to_rgb(hue, 0.95, 0.85 if i % 2 else 0.6) for i, hue in enumerate(hues)]
    return np.asarray(np.rint(np.asarray(rgb) * 255), dtype=np.uint8)


def draw_keypoints(
    frame: Frame,
    keypoints: Points,
    size: int = 384,
    active: float = 0.5,
    labels: bool = False,
    inactive: bool = False,
    edges: Sequence[tuple[int, int]] = (),
) -> Frame:
    """A copy of `frame` whose longer side has `size` pixels, with a disc on each active keypoint.

    Args:
        frame: (H, W, 3) uint8 RGB.
        keypoints: (K, ≥3): x and y in [0, 1] of the image, status in [0, 1]; further columns are ignored.
        size: longer side of the picture in pixels; a smaller frame is enlarged without smoothing.
        active: keypoints whose status is above this are active.
        labels: write the index of each active keypoint beside its disc.
        inactive: draw inactive keypoints too, as circles; else they are left out.
        edges: pairs of keypoints that a line joins where both are active, as a skeleton has them.
    """
    return _draw(scaled(frame, size), keypoints, active, labels, inactive, edges)


def draw_trails(
    frame: Frame,
    history: Sequence[Points],
    size: int = 384,
    active: float = 0.5,
    length: int = 8,
    labels: bool = False,
    inactive: bool = False,
    edges: Sequence[tuple[int, int]] = (),
) -> Frame:
    """Like `draw_keypoints` for the last element of `history`, with a line along the last `length` positions.

    Lines fade with age; one is drawn only between steps at which the keypoint was active at both ends.
    """
    recent = np.stack([points[:, :3] for points in history[-length - 1 :]])
    picture = scaled(frame, size)
    colours = keypoint_colours(recent.shape[1])
    pixels = fixed_point(recent, picture)
    thickness = max(1, round(size / 200))
    for later in range(1, len(recent)):
        both = (recent[later - 1, :, 2] > active) & (recent[later, :, 2] > active)
        lines = picture.copy()
        for index in np.flatnonzero(both):
            start, end = tuple(map(int, pixels[later - 1, index])), tuple(map(int, pixels[later, index]))
            cv2.line(lines, start, end, _rgb(colours[index]), thickness, cv2.LINE_AA, shift=4)
        strength = 1.0 - (len(recent) - 1 - later) / length
        picture = np.asarray(cv2.addWeighted(lines, strength, picture, 1.0 - strength, 0.0), dtype=np.uint8)
    return _draw(picture, recent[-1], active, labels, inactive, edges)


def scaled(frame: Frame, size: int) -> Frame:
    """A copy whose longer side is `size`; the shorter one is rounded to an even number, as videos need it."""
    height, width = frame.shape[:2]
    longer, shorter = max(height, width), min(height, width)
    other = size if longer == shorter else max(2, 2 * round(size * shorter / longer / 2))
    target = (other, size) if height > width else (size, other)
    how = cv2.INTER_NEAREST if size >= longer else cv2.INTER_AREA
    return np.ascontiguousarray(cv2.resize(frame, target, interpolation=how), dtype=np.uint8)


def _draw(
    picture: Frame,
    keypoints: Points,
    active: float,
    labels: bool,
    inactive: bool,
    edges: Sequence[tuple[int, int]],
) -> Frame:
    """Draw into `picture`, and return it."""
    size = max(picture.shape[:2])
    radius = max(2, round(size / 75))
    colours = keypoint_colours(len(keypoints))
    centres = fixed_point(keypoints, picture)
    on = keypoints[:, 2] > active
    for one, other in edges:
        if on[one] and on[other]:
            start, end = tuple(map(int, centres[one])), tuple(map(int, centres[other]))
            cv2.line(picture, start, end, _LINE, max(1, radius // 2), cv2.LINE_AA, shift=4)
    if inactive:
        for index in np.flatnonzero(~on):
            centre = tuple(map(int, centres[index]))
            cv2.circle(picture, centre, radius * 16, _rgb(colours[index]), 1, cv2.LINE_AA, shift=4)
    for index in np.flatnonzero(on):
        centre, colour = tuple(map(int, centres[index])), _rgb(colours[index])
        cv2.circle(picture, centre, (radius + 2) * 16, (255, 255, 255), -1, cv2.LINE_AA, shift=4)
        cv2.circle(picture, centre, radius * 16, colour, -1, cv2.LINE_AA, shift=4)
    if labels:
        shown = np.flatnonzero(on)
        texts = [str(index) for index in shown]
        inks = [
            _rgb(colours[index] * 0.6) for index in shown
        ]  # darker, to be read on an object of its colour
        write_labels(picture, texts, centres[shown] // 16, inks, radius + 2, size / 1000)
    return picture


def fixed_point(keypoints: Points, picture: Frame) -> NDArray[np.int64]:
    """Places (…, ≥2) in sixteenths of a pixel: discs then move smoothly in a video.

    Coordinates run from the centre of the first pixel to the centre of the last.
    """
    scale = np.array([picture.shape[1] - 1, picture.shape[0] - 1]) * 16
    places: NDArray[np.int64] = np.rint(keypoints[..., :2] * scale).astype(np.int64)
    return places


def _rgb(colour: NDArray[np.generic]) -> tuple[int, ...]:
    return tuple(int(channel) for channel in colour)


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
