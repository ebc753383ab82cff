"""Wrappers for vector environments, named as their twins for single ones."""

from mint_rl.envs.vector.keypoint_obs import KeypointObs

__all__ = ["KeypointObs"]
