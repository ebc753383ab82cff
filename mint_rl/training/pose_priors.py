"""The pose prior of a KeypointGAN run: a file, or MAGICAL's robot at random poses; the run keeps a copy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mint_rl.keypoints.methods.keypointgan import MAGICAL, KeypointGANConfig
from mint_rl.keypoints.skeleton import PosePrior, read_prior, write_prior
from mint_rl.training.pretrain_config import PretrainConfig

PRIOR_FILE = "prior.npz"  # of the run folder


def with_prior(config: PretrainConfig, folder: Path) -> PretrainConfig:
    """The configuration to build the method from: its prior is the copy in the run's folder.

    A run that goes on reads that copy, wherever the folder is by then; what is written down of the run is the
    configuration as it was given. Raises `UserError` for a prior that cannot be read.
    """
    loss = config.loss
    if not isinstance(loss, KeypointGANConfig):
        return config
    path = folder / PRIOR_FILE
    if not (config.resume and path.is_file()):
        write_prior(path, _magical(config.seed) if loss.prior == MAGICAL else read_prior(loss.prior))
    return dataclasses.replace(config, loss=dataclasses.replace(loss, prior=str(path)))


def _magical(seed: int) -> PosePrior:
    from mint_rl.envs.magical.skeleton import pose_prior

    return pose_prior(seed=seed)
