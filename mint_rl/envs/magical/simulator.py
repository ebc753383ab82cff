"""MAGICAL's physics, tasks and scores, without gym's interface and without pictures.

The one place that knows MAGICAL's insides: `World` drives the published simulation step by step and hands out
its state, its score and the description of its picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mint_rl.envs.magical import upstream
from mint_rl.envs.magical.canvas import SIZE, DisplayList, flatten
from mint_rl.envs.magical.drawing import Affine, Viewer
from mint_rl.envs.magical.names import TABLE, check_names
from mint_rl.envs.magical.state import BlockState, MagicalState, RegionState, RobotState, wrap_angle

FRAMES_PER_SECOND = 8
# As MAGICAL registers its environments.
_PHYSICS = {"res_hw": (SIZE, SIZE), "fps": FRAMES_PER_SECOND, "phys_steps": 10, "phys_iter": 10}


class World:
    """One task and variant. `reset(seed)` and the actions that follow decide everything."""

    def __init__(self, task: str, variant: str) -> None:
        check_names(task, variant)
        magical = upstream.load()
        self._entities = magical["entities"]
        task_class = getattr(magical[TABLE[task].module], TABLE[task].class_name)
        self._world: Any = task_class(**_PHYSICS, **TABLE[task].flags(variant))
        style = magical["style"]
        self.background_rgb: tuple[float, float, float] = style.lighten_rgb(
            style.COLOURS_RGB["grey"], times=4
        )
        # MAGICAL would make its own viewer and draw on every reset; we draw when asked. It lists an entity
        # before the entity adds its geoms, so the last one listed is their owner.
        self._viewer = Viewer(SIZE, SIZE, owner=lambda: self._world._entities[-1])
        self._world.viewer = self._viewer
        self._world.render = lambda mode: None

    def reset(self, seed: int) -> None:
        """Begin an episode with the scene that MAGICAL's `seed` and `reset` give; seeds from 0 to 2³² - 1."""
        self._world.seed(seed)
        self._world.reset()
        self._robot = self._world._robot
        self._blocks = [e for e in self._world._entities if isinstance(e, self._entities.Shape)]
        self._regions = [e for e in self._world._entities if isinstance(e, self._entities.GoalRegion)]

    def step(self, action: int) -> None:
        """Carry out action 0 to 17 for one step, 1/8 s."""
        drive, turn, grip = self._entities.ACTION_ID_TO_FLAGS[action]
        self._robot.set_action(drive | turn | grip)
        self._world._phys_steps_on_frame()

    def score(self) -> float:
        """What MAGICAL would score, 0 to 1, if the episode ended now."""
        return float(self._world.score_on_end_of_traj())

    def state(self) -> MagicalState:
        """The state now (see `MagicalState`)."""
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
        blocks = tuple(self._block_state(block) for block in self._blocks)
        return MagicalState(robot, blocks, tuple(self._region_state(region) for region in self._regions))

    def robot_joints(self) -> npt.NDArray[np.float64]:
        """Where the robot's joints are, (7, 2) in arena units: body, eyes, then elbow and tip of each finger.

        Left comes before right. The elbow is the middle of the end of a finger's upper part, the tip that of
        its fore part.
        """
        body, radius = self._robot.robot_body, self._robot.radius
        joints = [body.position]
        joints += [body.local_to_world((side * 0.4 * radius, 0.3 * radius)) for side in (-1, 1)]
        for side, finger in zip((-1, 1), self._robot.finger_bodies, strict=True):
            # As MAGICAL makes the fingers; each part begins with the two corners of its far end.
            for part in self._entities.make_finger_vertices(1.1 * radius, 0.7 * radius, 0.25 * radius, side):
                joints.append(finger.local_to_world((np.array(part[0]) + np.array(part[1])) / 2))
        return np.array([(joint[0], joint[1]) for joint in joints])

    def _block_state(self, block: Any) -> BlockState:
        position, angle = block.shape_body.position, wrap_angle(block.shape_body.angle)
        shape = self._entities.ShapeType(block.shape_type).value
        return BlockState(position.x, position.y, angle, shape, self._colour(block))

    def _region_state(self, region: Any) -> RegionState:
        position = region.goal_body.position
        return RegionState(position.x, position.y, float(region.w), float(region.h), self._colour(region))

    def _colour(self, entity: Any) -> str:
        return str(self._entities.ShapeColour(entity.colour_name).value)

    def instance_names(self) -> dict[int, str]:
        """Who has which instance id in this episode, such as {1: "robot", 2: "red square", 3: "blue region"}.

        0 is the background: the arena and its border.
        """
        state = self.state()
        blocks = [f"{block.colour} {block.shape}" for block in state.blocks]
        regions = [f"{region.colour} region" for region in state.regions]
        return dict(enumerate(["background", "robot", *blocks, *regions]))

    def scene(self) -> DisplayList:
        """The description of this episode's picture; `move_scene` moves it along."""
        ids = {id(e): i for i, e in enumerate([self._robot, *self._blocks, *self._regions], start=1)}
        return flatten([(geom, ids.get(id(owner), 0)) for geom, owner in self._viewer.geoms])

    def move_scene(self) -> None:
        """Bring everything in the scene to where its body is now."""
        for entity in self._world._entities:
            entity.pre_draw()

    def camera(self, view: str) -> Affine:
        """The camera of a view: "allo", the whole arena, or "ego", above the robot and turned with it."""
        if view == "ego":
            self._world._use_ego_cam()
        else:
            self._world._use_allo_cam()
        return self._viewer.camera
