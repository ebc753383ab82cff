"""How the objects of a scene move: pymunk's rigid bodies on a table that slows them by sliding friction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.bouncing.scene import Thing, corners
from mint_rl.old_pymunk import load_pymunk

RATE = 25.0  # frames a second
INSTALL = "pip install 'mint-rl[magical]'"

_STEPS = 4  # of the physics in a frame
_ELASTICITY, _FRICTION = 0.85, 0.4  # of each object; between two it is their product
_DENSITY = {"rubber": 1.0, "metal": 2.0}
_SLOWING = {"rubber": 0.12, "metal": 0.05}  # by the table, sides / s²
_GONE = 0.01  # how far beyond the border an object is taken away


@dataclass(frozen=True, eq=False)
class Motion:
    """T frames of N objects."""

    poses: NDArray[np.float64]  # (T, N, 3) x, y in sides, angle in radians; NaN where an object is not there
    hits: tuple[tuple[int, int, int], ...]  # frame, and the numbers of the two objects that began to touch

    @property
    def present(self) -> NDArray[np.bool_]:
        """(T, N): whether an object is in the world; at the border it may not be in sight yet."""
        there: NDArray[np.bool_] = ~np.isnan(self.poses[..., 0])
        return there


def simulate(things: Sequence[Thing], table: tuple[float, float], frames: int) -> Motion:
    """Move the objects for so many frames; the same objects always move in the same way.

    table: width and height of what is in sight, in sides. An object that has left it does not come back.
    Raises `UserError` where pymunk is missing.
    """
    pymunk = load_pymunk("making videos of bouncing objects", INSTALL)
    space = pymunk.Space()
    space.iterations = 20
    space.collision_slop = 1e-4
    bodies: dict[int, Any] = {}
    poses = np.full((frames, len(things), 3), np.nan)
    hits: list[tuple[int, int, int]] = []
    frame = 0

    def touched(arbiter: Any, *_: Any) -> bool:
        first, second = sorted(shape.number for shape in arbiter.shapes)
        hits.append((frame, first, second))
        return True

    space.add_default_collision_handler().begin = touched
    waiting = set(range(len(things)))
    for frame in range(frames):
        for number in sorted(waiting):
            thing = things[number]
            if thing.frame <= frame and _has_room(thing, things, bodies):
                bodies[number] = _add(pymunk, space, thing, number)
                waiting.discard(number)
        for number, body in bodies.items():
            poses[frame, number] = (*body.position, body.angle)
        for _ in range(_STEPS):
            space.step(1 / (RATE * _STEPS))
            for number, body in bodies.items():
                _slow(body, things[number], 1 / (RATE * _STEPS))
        for number in [number for number, body in bodies.items() if _left(body, things[number], table)]:
            body = bodies.pop(number)
            space.remove(body, *body.shapes)
    return Motion(poses, tuple(hits))


def _has_room(thing: Thing, things: Sequence[Thing], bodies: dict[int, Any]) -> bool:
    """Whether nothing stands where it is to appear; otherwise it waits."""
    return all(
        math.dist(thing.position, body.position) > thing.reach + things[number].reach
        for number, body in bodies.items()
    )


def _add(pymunk: Any, space: Any, thing: Thing, number: int) -> Any:
    mass = _DENSITY[thing.material] * math.pi * thing.radius**2
    points = corners(thing.shape, thing.radius)
    if points is None:
        body = pymunk.Body(mass, pymunk.moment_for_circle(mass, 0, thing.radius))
        shape = pymunk.Circle(body, thing.radius)
    else:
        outline = [tuple(point) for point in points.tolist()]
        body = pymunk.Body(mass, pymunk.moment_for_poly(mass, outline))
        shape = pymunk.Poly(body, outline)
    body.position, body.angle = thing.position, thing.angle
    body.velocity, body.angular_velocity = thing.velocity, thing.spin
    shape.elasticity, shape.friction, shape.number = _ELASTICITY, _FRICTION, number
    space.add(body, shape)
    return body


def _slow(body: Any, thing: Thing, seconds: float) -> None:
    """Sliding friction: speed falls at a constant rate until the object lies still."""
    lost = _SLOWING[thing.material] * seconds
    x, y = body.velocity
    speed = math.hypot(x, y)
    kept = max(0.0, 1 - lost / speed) if speed > 0 else 0.0
    body.velocity = (x * kept, y * kept)
    # A disc that turns on the spot slides, on average, at two thirds of its radius.
    spin = body.angular_velocity
    body.angular_velocity = math.copysign(max(0.0, abs(spin) - 1.5 * lost / thing.radius), spin)


def _left(body: Any, thing: Thing, table: tuple[float, float]) -> bool:
    """Whether an object is out of sight and does not come nearer."""
    for place, speed, end in zip(body.position, body.velocity, table, strict=True):
        if place < -thing.reach - _GONE and speed <= 0:
            return True
        if place > end + thing.reach + _GONE and speed >= 0:
            return True
    return False
