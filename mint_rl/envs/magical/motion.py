"""What the scripted behaviours share: actions by their parts, geometry in the robot's frame, steering.

Pure functions of the simulator's state. Arena units and radians as in `mint_rl.envs.magical.state`; a heading
of 0 looks along +y and grows counter-clockwise.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from mint_rl.envs.magical.state import RobotState, wrap_angle


class Drive(enum.IntEnum):
    """The part of an action that drives; the numbers are those of `names.ACTION_NAMES`."""

    NONE = 0
    FORWARD = 1
    BACKWARD = 2


class Turn(enum.IntEnum):
    """The part of an action that turns."""

    NONE = 0
    LEFT = 1
    RIGHT = 2


class Point(NamedTuple):
    """A place in the arena."""

    x: float
    y: float


class Pose(NamedTuple):
    """A place and a heading."""

    x: float
    y: float
    angle: float


# What the robot still moves after it is let go, as seconds of its present velocity (measured).
COASTING_SECONDS = 0.14
_COASTING_TURN_SECONDS = 0.048


def compose(drive: Drive = Drive.NONE, turn: Turn = Turn.NONE, close: bool = False) -> int:
    """The action 0 to 17 with these parts; the gripper opens unless it is told to close."""
    return 9 * close + 3 * turn + drive


def parts(action: int) -> tuple[Drive, Turn, bool]:
    """The parts of an action: the inverse of `compose`."""
    return Drive(action % 3), Turn(action // 3 % 3), action >= 9


def heading(dx: float, dy: float) -> float:
    """The heading of somebody who looks along (dx, dy)."""
    return math.atan2(-dx, dy)


def ahead_of(pose: Pose, distance: float) -> Point:
    """The point `distance` ahead."""
    return Point(pose.x - distance * math.sin(pose.angle), pose.y + distance * math.cos(pose.angle))


def at_rest(robot: RobotState) -> Pose:
    """Where the robot will stand when it has come to rest, if nothing is in its way."""
    return Pose(
        robot.x + COASTING_SECONDS * robot.vx,
        robot.y + COASTING_SECONDS * robot.vy,
        robot.angle + _COASTING_TURN_SECONDS * robot.angular_velocity,
    )


def seen_from(robot: RobotState, x: float, y: float) -> Point:
    """The point (x, y) as the robot sees it: x to its right, y ahead of it."""
    dx, dy = x - robot.x, y - robot.y
    cos, sin = math.cos(robot.angle), math.sin(robot.angle)
    return Point(cos * dx + sin * dy, cos * dy - sin * dx)


def turn_towards(pose: Pose, x: float, y: float) -> float:
    """The turn that makes `pose` look at (x, y): radians in [-π, π], positive to the left."""
    return wrap_angle(heading(x - pose.x, y - pose.y) - pose.angle)


def steer(robot: RobotState, x: float, y: float, close: bool, aligned: float, drive_within: float) -> int:
    """Turn towards (x, y) until `aligned` radians are left; drive while fewer than `drive_within` are."""
    error = turn_towards(at_rest(robot), x, y)
    drive = Drive.FORWARD if abs(error) < drive_within else Drive.NONE
    return compose(drive, turn_by(error, aligned), close)


def turn_by(error: float, aligned: float) -> Turn:
    """The turn that makes `error` smaller, or none if it is below `aligned`."""
    if abs(error) < aligned:
        return Turn.NONE
    return Turn.LEFT if error > 0 else Turn.RIGHT
