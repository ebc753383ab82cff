"""Pictures of a scene at any size, by the distance of each pixel to each outline: soft edges, exact masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.scene import COLOURS, Thing, corners

Floats = NDArray[np.float32]

_LIGHT = (-0.6, -0.8)  # where it comes from, in the picture
_SHADOW_AT, _SHADOW_SOFT, _SHADOW = (0.018, 0.026), 0.022, 0.16  # sides, sides, share of the light taken
_BRIGHTNESS = (0.72, 0.8)  # of the table; it stays on the light side of a half, also in shadows


class Painter:
    """Draws a scene's objects over its table; all frames of a video by one painter."""

    def __init__(
        self,
        things: Sequence[Thing],
        size: tuple[int, int],
        rng: np.random.Generator,
        shadows: bool = True,
    ) -> None:
        """size: height and width in pixels. rng: draws the light on the table."""
        self.things, self.size, self.shadows = tuple(things), size, shadows
        self._side = float(min(size))
        self._table = _table(size, rng)
        self._sides = [_sides(thing) for thing in things]

    def draw(self, poses: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A frame (H, W, 3) RGB and its mask (H, W): 0 is the table, 1 + n object n.

        poses: (N, 3), x and y in sides, angle in radians; NaN for an object that is not there. A pixel
        belongs to the object that covers its centre.
        """
        frame = self._table.copy()
        mask = np.zeros(self.size, np.uint8)
        there = [number for number in range(len(self.things)) if not np.isnan(poses[number, 0])]
        for number in there if self.shadows else []:
            self._cast(frame, number, poses[number])
        for number in there:
            self._paint(frame, mask, number, poses[number])
        return frame, mask

    def _cast(self, frame: NDArray[np.uint8], number: int, pose: NDArray[np.float64]) -> None:
        moved = pose + np.array((*_SHADOW_AT, 0.0))
        box, x, y = self._around(moved, self.things[number].reach + _SHADOW_SOFT)
        depth = self._depth(number, x, y, moved[2])
        share = np.clip(0.5 + depth / (2 * _SHADOW_SOFT), 0, 1)
        light = 1 - _SHADOW * share * share * (3 - 2 * share)
        frame[box] = (frame[box] * light[..., None] + 0.5).astype(np.uint8)

    def _paint(
        self, frame: NDArray[np.uint8], mask: NDArray[np.uint8], number: int, pose: NDArray[np.float64]
    ) -> None:
        thing = self.things[number]
        box, x, y = self._around(pose, thing.reach)
        depth = self._depth(number, x, y, pose[2])
        cover = np.clip(depth * self._side + 0.5, 0, 1)[..., None]
        colour = _shaded(thing, x, y, depth)
        frame[box] = (frame[box] * (1 - cover) + colour * (255 * cover) + 0.5).astype(np.uint8)
        mask[box][depth >= 0] = 1 + number

    def _around(self, pose: NDArray[np.float64], reach: float) -> tuple[tuple[slice, slice], Floats, Floats]:
        """The pixels within `reach` of an object, how far right (1, w) and how far below (h, 1) of it."""
        slices, offsets = [], []
        for centre, length in ((pose[1], self.size[0]), (pose[0], self.size[1])):
            first = int(np.clip(np.floor((centre - reach) * self._side) - 1, 0, length))
            last = int(np.clip(np.ceil((centre + reach) * self._side) + 1, first, length))
            slices.append(slice(first, last))
            offsets.append(((np.arange(first, last) + 0.5) / self._side - centre).astype(np.float32))
        return (slices[0], slices[1]), offsets[1][None, :], offsets[0][:, None]

    def _depth(self, number: int, x: Floats, y: Floats, angle: float) -> Floats:
        """How far inside the outline points are, in sides, (h, w); negative outside."""
        sides = self._sides[number]
        if sides is None:
            return np.asarray(self.things[number].radius - np.hypot(x, y))
        cos, sin = np.cos(angle), np.sin(angle)
        depth = np.full((y.shape[0], x.shape[1]), np.inf, np.float32)
        for across, down, distance in sides:
            turned_x, turned_y = cos * across - sin * down, sin * across + cos * down
            beyond = x * np.float32(turned_x) + y * np.float32(turned_y)
            np.minimum(depth, np.float32(distance) - beyond, out=depth)
        return depth


def _sides(thing: Thing) -> list[tuple[float, float, float]] | None:
    """Of each side its normal, outwards, and its distance from the middle; None for a disc."""
    points = corners(thing.shape, thing.radius)
    if points is None:
        return None
    along = np.roll(points, -1, axis=0) - points
    normals = np.stack([along[:, 1], -along[:, 0]], 1) / np.hypot(*along.T)[:, None]
    return [(float(n[0]), float(n[1]), float(n @ p)) for n, p in zip(normals, points, strict=True)]


def _shaded(thing: Thing, x: Floats, y: Floats, depth: Floats) -> Floats:
    """The colour of each pixel of an object, (h, w, 3) in [0, 1]: a darker rim; metal has a highlight."""
    size = np.float32(thing.radius)
    towards = (x * np.float32(_LIGHT[0]) + y * np.float32(_LIGHT[1])) / size
    rim = 0.7 + 0.3 * np.clip(depth / (0.2 * size), 0, 1)
    lit = (1 + 0.13 * towards) * rim
    colour = np.asarray(COLOURS[thing.colour], np.float32) * lit[..., None]
    if thing.material == "metal":
        spot_x, spot_y = x / size - np.float32(0.4 * _LIGHT[0]), y / size - np.float32(0.4 * _LIGHT[1])
        colour += (0.6 * np.exp(-(spot_x**2 + spot_y**2) / np.float32(0.3**2)))[..., None]
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def _table(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """An empty table (H, W, 3): light grey, brighter to one side and under a lamp, darker in the corners."""
    height, width = size
    side = min(size)
    x = ((np.arange(width) + 0.5 - width / 2) / side)[None, :]
    y = ((np.arange(height) + 0.5 - height / 2) / side)[:, None]
    direction = rng.uniform(0, 2 * np.pi)
    slope = 0.035 * (np.cos(direction) * x + np.sin(direction) * y)
    lamp_x, lamp_y = rng.uniform(-0.3, 0.3, 2)
    lamp = 0.07 * np.exp(-((x - lamp_x) ** 2 + (y - lamp_y) ** 2) / (2 * 0.35**2))
    corner = 0.03 * (x**2 + y**2)
    light = rng.uniform(*_BRIGHTNESS) + slope + lamp - corner
    tint = 1 + rng.uniform(-0.02, 0.02, 3)
    return np.asarray((np.clip(light[..., None] * tint, 0, 1) * 255 + 0.5).astype(np.uint8))
