"""What lies on the table when a video begins, and what will come: drawn from a seed.

Lengths are in sides: the shorter side of the picture is 1. The table is seen from above, x to the right and y
downwards from the upper left corner; times are in frames, speeds in sides a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ("disc", "square", "triangle", "bar")
# Each is dark in one channel at least, which tells it from the light table after binarising, too.
COLOURS = {
    "grey": (0.32, 0.33, 0.35),
    "red": (0.76, 0.13, 0.14),
    "blue": (0.15, 0.28, 0.84),
    "green": (0.12, 0.47, 0.16),
    "brown": (0.48, 0.28, 0.12),
    "cyan": (0.13, 0.76, 0.79),
    "purple": (0.51, 0.16, 0.74),
    "yellow": (0.95, 0.82, 0.18),
}
MATERIALS = ("rubber", "metal")
RADII = (0.062, 0.078, 0.096)  # of the disc that has the object's area
MEAN_AREA = math.pi * sum(radius**2 for radius in RADII) / len(RADII)

_FEWEST = 5  # objects of a video
_MOVING = 0.3  # share of those there from the beginning that move
_AIMED = 0.7  # share of those which come that are sent towards another
_SPEEDS = (0.45, 0.95)
_LAST_ENTRY = 0.65  # of the video's length
_OUTSIDE = 0.02  # how far beyond the border an object waits
_TRIES = 100


@dataclass(frozen=True)
class Thing:
    """One object, as it is when it comes into the world."""

    shape: str
    colour: str
    material: str
    radius: float  # of the disc of the same area
    frame: int  # the first in which it is there; 0: from the beginning
    position: tuple[float, float]
    angle: float  # radians
    velocity: tuple[float, float]
    spin: float  # radians a second

    @property
    def reach(self) -> float:
        """The distance from its middle to its outermost point."""
        points = corners(self.shape, self.radius)
        return self.radius if points is None else float(np.hypot(*points.T).max())


def corners(shape: str, radius: float) -> NDArray[np.float64] | None:
    """The corners (n, 2), about the middle, of a shape as large as a disc of `radius`; None for a disc."""
    if shape == "disc":
        return None
    if shape == "bar":  # twice as long as wide
        short = radius * math.sqrt(math.pi / 8)
        return np.array([(-2, -1), (2, -1), (2, 1), (-2, 1)]) * short
    number = {"triangle": 3, "square": 4}[shape]
    outer = radius * math.sqrt(2 * math.pi / (number * math.sin(2 * math.pi / number)))
    turns = 2 * np.pi * np.arange(number) / number
    return outer * np.stack([np.cos(turns), np.sin(turns)], 1)


def draw_scene(
    rng: np.random.Generator, table: tuple[float, float], frames: int, most: int
) -> tuple[Thing, ...]:
    """Up to `most` objects for a video of `frames` frames, no two of the same colour, material and shape.

    table: width and height in sides. Some lie there, some move, and at least one enters later.
    """
    number = int(rng.integers(min(_FEWEST, most), most + 1))
    fewest = min(2, number - 1)  # to enter
    entering = int(rng.integers(fewest, max(number - 2, fewest) + 1))
    every = [(shape, colour, material) for shape in SHAPES for colour in COLOURS for material in MATERIALS]
    looks = [every[index] for index in rng.permutation(len(every))[:number]]
    there: list[Thing] = []
    for look in looks[entering:]:
        placed = _placed(rng, look, table, there)
        if placed is not None:
            there.append(placed)
    times = np.sort(rng.uniform(0, _LAST_ENTRY * frames, entering)).astype(int)
    coming = [
        _coming(rng, look, table, max(1, int(time)), there)
        for look, time in zip(looks[:entering], times, strict=True)
    ]
    return (*there, *coming)


_Look = tuple[str, str, str]  # shape, colour, material


def _placed(
    rng: np.random.Generator, look: _Look, table: tuple[float, float], others: list[Thing]
) -> Thing | None:
    """An object somewhere on the table where it touches no other; None where there is no room."""
    radius = float(rng.choice(RADII))
    moves = rng.random() < _MOVING
    velocity = _velocity(rng, float(rng.uniform(0, 2 * math.pi))) if moves else (0.0, 0.0)
    for _ in range(_TRIES):
        thing = Thing(
            *look,
            radius=radius,
            frame=0,
            position=(float(rng.uniform(0, table[0])), float(rng.uniform(0, table[1]))),
            angle=float(rng.uniform(0, 2 * math.pi)),
            velocity=velocity,
            spin=float(rng.uniform(-2, 2)) if moves else 0.0,
        )
        (x, y), reach = thing.position, thing.reach
        inside = reach < x < table[0] - reach and reach < y < table[1] - reach
        apart = (math.dist(thing.position, other.position) > reach + other.reach for other in others)
        if inside and all(apart):
            return thing
    return None


def _coming(
    rng: np.random.Generator, look: _Look, table: tuple[float, float], frame: int, there: list[Thing]
) -> Thing:
    """An object just outside the picture, on its way in."""
    width, height = table
    radius = float(rng.choice(RADII))
    away = Thing(*look, radius, 0, (0.0, 0.0), 0.0, (0.0, 0.0), 0.0).reach + _OUTSIDE
    along = float(rng.uniform(0, 2 * (width + height)))
    if along < 2 * width:
        x, y = along % width, (-away if along < width else height + away)
    else:
        along -= 2 * width
        x, y = (-away if along < height else width + away), along % height
    if there and rng.random() < _AIMED:
        target = there[int(rng.integers(len(there)))].position
    else:
        target = (width * float(rng.uniform(0.25, 0.75)), height * float(rng.uniform(0.25, 0.75)))
    return Thing(
        *look,
        radius=radius,
        frame=frame,
        position=(x, y),
        angle=float(rng.uniform(0, 2 * math.pi)),
        velocity=_velocity(rng, math.atan2(target[1] - y, target[0] - x)),
        spin=float(rng.uniform(-3, 3)),
    )


def _velocity(rng: np.random.Generator, direction: float) -> tuple[float, float]:
    speed = float(rng.uniform(*_SPEEDS))
    return speed * math.cos(direction), speed * math.sin(direction)
