"""The robot's joints against the state and the picture, and the prior made of them."""

from __future__ import annotations

import numpy as np

from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.skeleton import EDGES, JOINTS, joint_coordinates, pose_prior


def test_joints_agree_with_the_state_and_the_picture() -> None:
    env = MagicalEnv("MoveToRegion", "TestAll")
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(3):
            env.step(seed)
        robot, joints = env.state().robot, env.world.robot_joints()
        heading = np.array([-np.sin(robot.angle), np.cos(robot.angle)])
        np.testing.assert_allclose(joints[0], (robot.x, robot.y))
        middle = (joints[1] + joints[2]) / 2 - joints[0]
        np.testing.assert_allclose(middle, 0.06 * heading, atol=1e-9)
        side = np.array([-heading[1], heading[0]])  # to the left
        assert (joints[1] - joints[2]) @ side > 0
        mask = env.instance_mask() == 1
        for x, y in joint_coordinates(env.world):
            column, row = round(x * 95), round(y * 95)
            assert mask[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any()


def test_the_prior_is_repeatable_and_of_the_robots_size() -> None:
    prior, again = pose_prior(60, seed=3), pose_prior(60, seed=3)
    assert prior.points.shape == (60, len(JOINTS), 2)
    assert (prior.edges, prior.names) == (EDGES, JOINTS)
    assert np.array_equal(prior.points, again.points)
    eyes = np.linalg.norm(prior.points[:, 1] - prior.points[:, 2], axis=1)
    np.testing.assert_allclose(eyes, 0.16 / 2.05, rtol=0.1)
