"""The pose prior of a KeypointGAN run: a file, or MAGICAL's robot at random poses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mint_rl.keypoints.methods.keypointgan import MAGICAL, KeypointGANConfig
from mint_rl.keypoints.skeleton import write_prior
from mint_rl.training.pretrain_config import PretrainConfig

PRIOR_FILE = "prior.npz"  # of the run folder


def with_prior(config: PretrainConfig, folder: Path) -> PretrainConfig:
    """The configuration, its prior a file: MAGICAL's is made from the simulator into the run's folder."""
    loss = config.loss
    if not isinstance(loss, KeypointGANConfig) or loss.prior != MAGICAL:
        return config
    from mint_rl.envs.magical.skeleton import pose_prior

    path = folder / PRIOR_FILE
    write_prior(path, pose_prior(seed=config.seed))
    return dataclasses.replace(config, loss=dataclasses.replace(loss, prior=str(path)))
