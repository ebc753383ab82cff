"""Scripted experts: for a task, a function from the simulator's state to an action.

They have no memory: the same state gives the same action, whatever went before. So the expert can be asked
what it would do in a state that somebody else reached, which is what noise in the demonstrations needs (see
`recording`), and its labels carry nothing that a policy could not know from the present.

`benchmarks/experts.py` prints their scores in every variant.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mint_rl.envs.magical.grasping import approach, between_fingers, has_closed
from mint_rl.envs.magical.line_expert import make_line
from mint_rl.envs.magical.motion import Point, at_rest, compose, steer
from mint_rl.envs.magical.state import MagicalState
from mint_rl.errors import UserError

Expert = Callable[[MagicalState], int]

# The region counts as reached in its middle 60 %: the score needs the robot's centre inside at the end, and
# noise pushes it about.
_REGION_CORE = 0.3

# MoveToCorner: the score is full once the block is within √2/2 = 0.71 of the top left corner.
_CORNER = Point(-1.0, 1.0)
_CORNER_REACHED = 0.5
_CORNER_AIM = Point(-0.72, 0.72)  # where the robot steers while it carries: the block goes ahead of it


def move_to_region(state: MagicalState) -> int:
    """MoveToRegion: drive to the middle of the region and stay."""
    region = state.regions[0]
    rest = at_rest(state.robot)
    near_x = abs(rest.x - region.x) < _REGION_CORE * region.width
    near_y = abs(rest.y - region.y) < _REGION_CORE * region.height
    if near_x and near_y:
        return compose()
    return steer(state.robot, region.x, region.y, close=False, aligned=0.2, drive_within=0.6)


def move_to_corner(state: MagicalState) -> int:
    """MoveToCorner: fetch the block, carry it to the top left corner, let go."""
    robot, block = state.robot, Point(state.blocks[0].x, state.blocks[0].y)
    if math.dist(block, _CORNER) < _CORNER_REACHED:
        return compose()
    if not between_fingers(robot, block):
        return approach(robot, block)
    if not has_closed(robot):
        return compose(close=True)
    return steer(robot, *_CORNER_AIM, close=True, aligned=0.17, drive_within=0.5)


EXPERTS: dict[str, Expert] = {
    "MoveToCorner": move_to_corner,
    "MoveToRegion": move_to_region,
    "MakeLine": make_line,
}
EXPERT_TASKS: tuple[str, ...] = tuple(EXPERTS)


def expert(task: str) -> Expert:
    """The scripted expert of a task; `UserError` where there is none."""
    if task not in EXPERTS:
        raise UserError(
            f"there is no scripted expert for the task '{task}', only for {', '.join(EXPERTS)}: "
            "import human demonstrations with 'mint-rl demos import'"
        )
    return EXPERTS[task]
