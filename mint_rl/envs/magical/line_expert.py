"""MakeLine's scripted expert: a function from the simulator's state to an action, without memory.

`line_plans` says which block goes where; here is how to get there among the other blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mint_rl.envs.magical.grasping import approach, between_fingers, can_drive, has_closed
from mint_rl.envs.magical.line_plans import distance_to_segment, next_move
from mint_rl.envs.magical.motion import (
    Drive,
    Point,
    Pose,
    ahead_of,
    at_rest,
    compose,
    seen_from,
    steer,
    turn_by,
    turn_towards,
)
from mint_rl.envs.magical.state import MagicalState, RobotState

# Another block here, in the robot's frame, would be pushed along: back away from it first.
_IN_THE_WAY_SIDE, _IN_THE_WAY_AHEAD = 0.17, 0.43
_CLOSE_BY = 0.5  # a block nearer than this is approached straight on

# Going around others: the way ahead that must be clear, by how much, and what turns away from the straight
# line are tried, nearest first.
_LOOK_AHEAD = 0.5
_CLEARANCE = 0.33  # robot's and block's radius, and a little air
_DETOURS = (0.0, 0.26, -0.26, 0.52, -0.52, 0.79, -0.79, 1.05, -1.05, 1.4, -1.4)
_REACH = 0.3  # the robot stops this far from its goal: the block it fetches or carries is there
_ARENA = 0.8

# Placing a block: within _PLACING of the slot the robot turns on the spot, then drives until the block is
# there.
_PLACING = 0.55
_FACING = 0.12
_TOO_NEAR_TO_TURN = 0.2
_SHORT, _BEYOND = 0.045, -0.06  # a step is 0.084 long


def make_line(state: MagicalState) -> int:
    """MakeLine: carry one block after the other to its slot in the line."""
    robot = state.robot
    blocks = [Point(block.x, block.y) for block in state.blocks]
    gripped = next((number for number, block in enumerate(blocks) if between_fingers(robot, block)), None)
    held = gripped if has_closed(robot) else None
    # The block in the gripper coasts with the robot: judge it by where it will come to rest.
    rest = at_rest(robot)
    coming = list(blocks)
    if held is not None:
        coming[held] = Point(blocks[held].x + rest.x - robot.x, blocks[held].y + rest.y - robot.y)
    move = next_move(coming, Point(robot.x, robot.y), held, gripped)
    if move is None:
        return compose()
    others = [block for number, block in enumerate(blocks) if number != move.block]
    if gripped != move.block:
        return _fetch(robot, blocks[move.block], others)
    if held is None:
        return compose(close=True)
    return _carry(robot, coming[move.block], move.target, others)


def _fetch(robot: RobotState, block: Point, others: Sequence[Point]) -> int:
    """Drive to the block, around the others."""
    if can_drive(robot, Drive.BACKWARD) and any(_in_the_way(robot, other) for other in others):
        return compose(Drive.BACKWARD)
    if math.dist((robot.x, robot.y), block) < _CLOSE_BY:
        return approach(robot, block)
    return steer(robot, *_way_around(robot, block, others), close=False, aligned=0.13, drive_within=0.45)


def _carry(robot: RobotState, block: Point, slot: Point, others: Sequence[Point]) -> int:
    """Take the block in the gripper to the slot, around the others, and let go there."""
    rest = at_rest(robot)
    distance = math.dist((rest.x, rest.y), slot)
    if distance > _PLACING:
        return steer(robot, *_way_around(robot, slot, others), close=True, aligned=0.15, drive_within=0.45)
    error = turn_towards(rest, *slot)
    if abs(error) > _FACING:
        if distance < _TOO_NEAR_TO_TURN:
            return compose(Drive.BACKWARD, close=True)
        return compose(turn=turn_by(error, 0.0), close=True)
    missing = distance - math.dist((rest.x, rest.y), block)
    if missing > _SHORT:
        return compose(Drive.FORWARD, close=True)
    if missing < _BEYOND:
        return compose(Drive.BACKWARD, close=True)
    return compose()


def _in_the_way(robot: RobotState, other: Point) -> bool:
    side, ahead = seen_from(robot, *other)
    return abs(side) < _IN_THE_WAY_SIDE and 0 < ahead < _IN_THE_WAY_AHEAD


def _way_around(robot: RobotState, goal: Point, others: Sequence[Point]) -> Point:
    """Where to steer now to reach the goal: straight there, or the smallest detour that is clear."""
    rest = at_rest(robot)
    here = Point(rest.x, rest.y)
    straight = rest.angle + turn_towards(rest, *goal)
    length = min(max(0.05, math.dist(here, goal) - _REACH), _LOOK_AHEAD)
    for detour in _DETOURS:
        ahead = ahead_of(Pose(rest.x, rest.y, straight + detour), length)
        if detour and max(abs(ahead.x), abs(ahead.y)) > _ARENA:
            continue
        # who is too near already must only not come nearer
        if all(
            distance_to_segment(other, here, ahead) > min(_CLEARANCE, math.dist(here, other) - 0.02)
            for other in others
        ):
            return ahead
    return goal
