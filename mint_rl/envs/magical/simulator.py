"""MAGICAL's physics, tasks and scores, without gym's interface and without pictures.

The one place that knows MAGICAL's insides: `World` drives the published simulation step by step and hands out
its state, its scores and the description of its picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mint_rl.envs.magical import upstream
from mint_rl.envs.magical.canvas import SIZE, DisplayList, flatten
from mint_rl.envs.magical.drawing import Affine, Viewer
from mint_rl.envs.magical.names import TABLE, check_names
from mint_rl.envs.magical.state import BlockState, MagicalState, RegionState, RobotState, wrap_angle

FRAMES_PER_SECOND = 8


class World:
    """One task and variant. `reset(seed)` and the actions that follow decide everything."""

    def __init__(self, task: str, variant: str) -> None:
        check_names(task, variant)
        magical = upstream.load()
        self._entities = magical.entities
        self._flags = magical.entities.ACTION_ID_TO_FLAGS
        task_class = getattr(getattr(magical, TABLE[task].module), TABLE[task].class_name)
        self._world: Any = task_class(
            res_hw=(SIZE, SIZE),
            fps=FRAMES_PER_SECOND,
            phys_steps=10,
            phys_iter=10,
            **TABLE[task].flags(variant),
        )
        # MAGICAL draws at the end of each reset; we draw when asked.
        self._world.render = lambda mode: None
        self._world.viewer = self.viewer = Viewer(
            SIZE, SIZE, _background_colour(magical), owner=lambda: len(self._world._entities) - 1
        )

    def reset(self, seed: int) -> None:
        """Begin an episode. The same seed (0 to 2³²-1) gives the same scene as `seed` and `reset` of MAGICAL did."""
        self._world.seed(seed)
        self._world.reset()
        entities = self._world._entities
        self._robot = self._world._robot
        self._blocks = [e for e in entities if isinstance(e, self._entities.Shape)]
        self._regions = [e for e in entities if isinstance(e, self._entities.GoalRegion)]
        self._instances = {
            id(e): i for i, e in enumerate([self._robot, *self._blocks, *self._regions], start=1)
        }

    def step(self, action: int) -> None:
        """Carry out action 0 to 17 for one step, 1/8 s."""
        drive, turn, grip = self._flags[action]
        self._robot.set_action(drive | turn | grip)
        self._world._phys_steps_on_frame()

    def score(self) -> float:
        """What MAGICAL would score, 0 to 1, if the episode ended now."""
        return float(self._world.score_on_end_of_traj())

    def state(self) -> MagicalState:
        """The state now (see `state`)."""
        body = self._robot.robot_body
        left, right = (finger.angle for finger in self._robot.finger_bodies)
        robot = RobotState(
            x=body.position.x,
            y=body.position.y,
            angle=wrap_angle(body.angle),
            vx=body.velocity.x,
            vy=body.velocity.y,
            angular_velocity=body.angular_velocity,
            finger_opening=(left - right) / 2,
        )
        return MagicalState(
            robot, tuple(map(self._block_state, self._blocks)), tuple(map(self._region_state, self._regions))
        )

    def _block_state(self, block: Any) -> BlockState:
        body = block.shape_body
        shape, colour = (
            self._entities.ShapeType(block.shape_type),
            self._entities.ShapeColour(block.colour_name),
        )
        return BlockState(body.position.x, body.position.y, wrap_angle(body.angle), shape.value, colour.value)

    def _region_state(self, region: Any) -> RegionState:
        position, colour = region.goal_body.position, self._entities.ShapeColour(region.colour_name)
        return RegionState(position.x, position.y, float(region.w), float(region.h), colour.value)

    def instance_names(self) -> dict[int, str]:
        """The instance ids of this episode and whose they are, such as {1: "robot", 2: "red square", 3: "blue region"}.

        0 is the background: the arena and its border.
        """
        blocks = [f"{b.colour} {b.shape}" for b in map(self._block_state, self._blocks)]
        regions = [f"{r.colour} region" for r in map(self._region_state, self._regions)]
        return dict(enumerate(["background", "robot", *blocks, *regions]))

    def scene(self) -> DisplayList:
        """The description of this episode's picture; `update_scene` moves it along."""
        entities = self._world._entities
        return flatten([(geom, self._instances.get(id(entities[i]), 0)) for geom, i in self.viewer.geoms])

    def update_scene(self) -> None:
        """Move what is drawn to where the bodies are now."""
        for entity in self._world._entities:
            entity.pre_draw()

    def camera(self, view: str) -> Affine:
        """The camera of the "allo" (whole arena, fixed) or "ego" (above and behind the robot) view."""
        if view == "ego":
            self._world._use_ego_cam()
        else:
            self._world._use_allo_cam()
        return self.viewer.camera


def _background_colour(magical: Any) -> tuple[float, float, float]:
    style = magical.style
    red, green, blue = style.lighten_rgb(style.COLOURS_RGB["grey"], times=4)
    return float(np.float64(red)), float(green), float(blue)
