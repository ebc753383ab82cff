"""The robot's skeleton in MAGICAL: where its joints are in a picture, and random poses of it.

Seven joints: the middle of the body, the two eyes, and each finger's elbow and tip. The fingers' roots are
hidden under the body, so that each finger hangs on the eye of its side. A line joins the eyes: without it the
picture of a closed gripper would be a ring, with front and back alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mint_rl.envs.magical.canvas import SIZE
from mint_rl.envs.magical.explorers import Explorer
from mint_rl.envs.magical.simulator import World
from mint_rl.errors import UserError
from mint_rl.keypoints.skeleton import PosePrior

JOINTS = ("body", "left eye", "right eye", "left elbow", "left tip", "right elbow", "right tip")
EDGES = ((0, 1), (0, 2), (1, 2), (1, 3), (3, 4), (2, 5), (5, 6))

_EPISODE = 100  # steps between resets
_EVERY = 4  # steps between poses: half a second


def joint_coordinates(world: World, resolution: int = 96) -> NDArray[np.float64]:
    """The joints (7, 2) of the robot now in the allocentric picture, in the order of `JOINTS`.

    x, y in [0, 1]: 0 and 1 are the centres of the first and the last pixel of a picture of `resolution`.
    A joint beyond the picture's border, which a finger may reach across, is moved to it.
    """
    a, b, c, d, e, f = world.camera("allo")
    x, y = world.robot_joints().T
    across, down = a * x + b * y + c, SIZE - (d * x + e * y + f)  # the camera's y points upwards
    pixels = np.stack([across, down], 1) * (resolution / SIZE) - 0.5
    return (pixels / (resolution - 1)).clip(0.0, 1.0)


def pose_prior(number: int = 4000, seed: int = 0) -> PosePrior:
    """`number` poses of the robot as it wanders about an empty scene; no picture is ever drawn.

    The poses are as likely as in videos of an explorer, but of other episodes. Decided by `seed`.
    """
    if number < 1:
        raise UserError(f"a pose prior needs 1 pose at least, not {number}")
    world = World("MoveToRegion", "TestAll")
    poses: list[NDArray[np.float64]] = []
    episode = 0
    while len(poses) < number:
        scene, behaviour = np.random.SeedSequence((5, seed, episode)).generate_state(2)
        world.reset(int(scene))
        explorer = Explorer(int(behaviour))
        for step in range(_EPISODE):
            world.step(explorer(world.state()))
            if step % _EVERY == 0:
                poses.append(joint_coordinates(world))
        episode += 1
    return PosePrior(np.stack(poses[:number]).astype(np.float32), EDGES, JOINTS)
