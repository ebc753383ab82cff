"""Getting a block between the fingers: what every scripted behaviour that carries blocks needs.

Pure functions of the simulator's state, in arena units and radians.
"""

from __future__ import annotations

import math

from mint_rl.envs.magical.motion import Drive, Point, ahead_of, at_rest, compose, seen_from, steer
from mint_rl.envs.magical.state import RobotState

# A block is between the fingers when its centre lies this far ahead of the robot's and this little to its
# side. The robot's radius is 0.2, its open fingers reach to 0.36, a block's radius is 0.12.
_GRASP_SIDE = 0.10
_GRASP_NEAR, _GRASP_FAR = 0.15, 0.36
_HELD_FAR = 0.41  # fingers that have closed hold a star by its tip
# Half the angle between the fingers: 0.393 is fully open, 0.377 the widest at which a block was seen to stop
# them. Waiting for them to stop altogether would need a memory.
CLOSED_OPENING = 0.375
# Nearer than this, turning towards a block would push it aside with a finger.
_TURNING_ROOM = 0.43
_NEARLY_AHEAD = 0.35
_STEP = 0.12  # the way of a step from full speed
_REACHABLE = 0.82  # the robot's centre gets no farther than 0.8 from the arena's


def has_closed(robot: RobotState) -> bool:
    """Whether the fingers have closed far enough to hold what is between them."""
    return robot.finger_opening <= CLOSED_OPENING


def between_fingers(robot: RobotState, block: Point) -> bool:
    """Whether the block is where the fingers grasp it, or hold it."""
    side, ahead = seen_from(robot, *block)
    return abs(side) < _GRASP_SIDE and _GRASP_NEAR < ahead < (_HELD_FAR if has_closed(robot) else _GRASP_FAR)


def approach(robot: RobotState, block: Point) -> int:
    """Drive straight to the block with an open gripper; back away first where turning would push it aside."""
    side, ahead = seen_from(robot, *block)
    off_axis = abs(math.atan2(side, ahead))
    if math.hypot(side, ahead) < _TURNING_ROOM and off_axis > _NEARLY_AHEAD:
        away = Drive.BACKWARD if ahead > 0 else Drive.FORWARD
        if can_drive(robot, away):
            return compose(away)
    return steer(robot, *block, close=False, aligned=0.12, drive_within=0.3)


def can_drive(robot: RobotState, drive: Drive) -> bool:
    """Whether a step in that direction stays clear of the walls."""
    step = _STEP if drive is Drive.FORWARD else -_STEP
    there = ahead_of(at_rest(robot), step)
    return max(abs(there.x), abs(there.y)) < _REACHABLE
