"""The simulator's state, as scripted experts and the tests of detectors see it.

Arena units: the arena is the square [-1, 1]², x to the right and y up. Angles in radians, counter-clockwise,
wrapped to [-π, π]. Velocities are per simulated second; a step of the environment is 1/8 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_PICTURE = 1.02  # half the width of the allocentric picture, in arena units


@dataclass(frozen=True, slots=True)
class RobotState:
    """x, y: centre of the body. angle: heading, 0 along +y. vx, vy, angular_velocity: of the body.
    finger_opening: half the angle between the fingers, from 0 (closed) to π/8 = 0.393 (open)."""

    x: float
    y: float
    angle: float
    vx: float
    vy: float
    angular_velocity: float
    finger_opening: float


@dataclass(frozen=True, slots=True)
class BlockState:
    """x, y, angle: pose. shape: square, pentagon, star or circle. colour: red, green, blue or yellow."""

    x: float
    y: float
    angle: float
    shape: str
    colour: str


@dataclass(frozen=True, slots=True)
class RegionState:
    """x, y: centre. width, height: sides, parallel to the axes. colour: as that of blocks."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class MagicalState:
    """One moment of an episode; blocks and regions in the order of their instance ids."""

    robot: RobotState
    blocks: tuple[BlockState, ...]
    regions: tuple[RegionState, ...]

    def to_array(self) -> npt.NDArray[np.float32]:
        """Float32 vector of length 8 + 4·blocks + 4·regions, without shapes and colours.

        Robot: x, y, cos angle, sin angle, vx, vy, angular velocity, finger opening.
        Each block: x, y, cos angle, sin angle. Each region: x, y, width, height.
        """
        r = self.robot
        numbers = [r.x, r.y, math.cos(r.angle), math.sin(r.angle), r.vx, r.vy, r.angular_velocity]
        numbers.append(r.finger_opening)
        for block in self.blocks:
            numbers += [block.x, block.y, math.cos(block.angle), math.sin(block.angle)]
        for region in self.regions:
            numbers += [region.x, region.y, region.width, region.height]
        return np.array(numbers, dtype=np.float32)


def picture_pose(states: npt.NDArray[np.float32] | None, steps: int) -> npt.NDArray[np.float32]:
    """The robot on the allocentric picture: (T, 4) of its place, x and y, and its heading, float32.

    −1 and 1 are the picture's borders, half a pixel beyond the middles of its outermost pixels. The heading
    is a vector of length 1, y downwards like the picture's rows. `states` are those of
    `MagicalState.to_array`, (T, S), of `steps` steps T. All is NaN without them, and if they are another
    program's: its files keep other numbers under that name.
    """
    if states is None or states.shape[1] < 4 or not np.allclose(np.hypot(states[:, 2], states[:, 3]), 1):
        return np.full((steps, 4), np.nan, dtype=np.float32)
    x, y, cos, sin = states[:, :4].T
    return np.stack([x / _PICTURE, -y / _PICTURE, -sin, -cos], axis=1)


def wrap_angle(angle: float) -> float:
    """The same direction in [-π, π]."""
    return math.remainder(angle, 2 * math.pi)
