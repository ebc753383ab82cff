"""Exploring: a behaviour without a goal that moves whatever there is, for videos to learn keypoints from.

What a detector learns to track is what moves in its videos. Demonstrations of a task move one or two blocks
along one path; the explorer carries every block everywhere, visits the whole arena, turns, opens and closes
its gripper, and pushes into walls, in any of the eight tasks.
"""

from __future__ import annotations

import math

import numpy as np

from mint_rl.envs.magical.grasping import approach, between_fingers, has_closed
from mint_rl.envs.magical.motion import Drive, Point, at_rest, compose, steer
from mint_rl.envs.magical.state import MagicalState

# Shares of what is done next, and for how many steps at most (a step is 1/8 s; crossing the arena takes 25).
_CARRY, _WANDER, _FIDGET = "carry", "wander", "fidget"
_SHARES = {_CARRY: 0.7, _WANDER: 0.15, _FIDGET: 0.15}
_LIMITS = {_CARRY: 60, _WANDER: 25, _FIDGET: 12}
_STEPS_BACK = 3  # after letting go, so that the block lies free of the fingers
_STUCK_STEPS = 3  # standing still for this long while busy means that something is in the way
_STILL_SPEED, _STILL_TURNING = 0.05, 0.1  # arena units and radians per second
_STICKY_STEPS = 4  # an action of fidgeting is held for 1 to this many steps
_MARGIN = 0.8  # goals lie in the square of this half side: the robot's radius is 0.2, the arena's half side 1
_ARRIVED = 0.15


class Explorer:
    """Acts on states, `explorer(state) -> action`, at random by `seed`; remembers what it is about.

    One explorer may go on through several episodes, though after a reset it finishes what it was doing.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._activity = ""
        self._steps_left = 0
        self._goal = Point(0.0, 0.0)
        self._block = 0
        self._close = False
        self._backing = 0
        self._still_for = 0
        self._fidget, self._fidget_left = 0, 0

    def __call__(self, state: MagicalState) -> int:
        if self._steps_left <= 0 or self._is_stuck(state):
            self._choose(state)
        if self._backing > 0:
            self._backing -= 1
            return compose(Drive.BACKWARD)
        self._steps_left -= 1
        if self._activity == _CARRY:
            return self._carry(state)
        if self._activity == _WANDER:
            return self._wander(state)
        return self._fidget_about()

    def _is_stuck(self, state: MagicalState) -> bool:
        """Whether the robot has stood still for some steps; if so it backs away first, as far as it can."""
        robot = state.robot
        still = math.hypot(robot.vx, robot.vy) < _STILL_SPEED and abs(robot.angular_velocity) < _STILL_TURNING
        self._still_for = self._still_for + 1 if still else 0
        if self._still_for < _STUCK_STEPS or self._activity == _FIDGET:
            return False
        self._still_for, self._backing = 0, _STEPS_BACK
        return True

    def _choose(self, state: MagicalState) -> None:
        """What to do next: an activity, a block, a place."""
        shares = np.array(
            [share if state.blocks else share * (name != _CARRY) for name, share in _SHARES.items()]
        )
        self._activity = str(self._rng.choice([*_SHARES], p=shares / shares.sum()))
        self._steps_left = _LIMITS[self._activity]
        x, y = self._rng.uniform(-_MARGIN, _MARGIN, 2)
        self._goal = Point(float(x), float(y))
        self._block = int(self._rng.integers(max(1, len(state.blocks))))
        self._close = bool(self._rng.integers(2))

    def _carry(self, state: MagicalState) -> int:
        """Fetch the block and take it to the goal; let go there or when time is up."""
        robot, chosen = state.robot, state.blocks[min(self._block, len(state.blocks) - 1)]
        block = Point(chosen.x, chosen.y)
        held = between_fingers(robot, block)
        if self._steps_left == 0 or (held and math.dist(block, self._goal) < _ARRIVED):
            self._steps_left, self._backing = 0, _STEPS_BACK
            return compose()
        if not held:
            return approach(robot, block)
        if not has_closed(robot):
            return compose(close=True)
        return steer(robot, *self._goal, close=True, aligned=0.17, drive_within=0.5)

    def _wander(self, state: MagicalState) -> int:
        """Drive to the goal, gripper open or closed."""
        rest = at_rest(state.robot)
        if math.dist((rest.x, rest.y), self._goal) < _ARRIVED:
            self._steps_left = 0
        return steer(state.robot, *self._goal, close=self._close, aligned=0.2, drive_within=0.6)

    def _fidget_about(self) -> int:
        """Random actions, each held for some steps."""
        if self._fidget_left <= 0:
            self._fidget = int(self._rng.integers(18))
            self._fidget_left = int(self._rng.integers(1, _STICKY_STEPS + 1))
        self._fidget_left -= 1
        return self._fidget
