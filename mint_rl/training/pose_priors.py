"""The pose prior of a KeypointGAN run: a file, or MAGICAL's robot at random poses; the run keeps a copy."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mint_rl.keypoints.methods.keypointgan import MAGICAL, KeypointGANConfig
from mint_rl.keypoints.skeleton import PosePrior, read_prior, write_prior
from mint_rl.training.pretrain_config import PretrainConfig

PRIOR_FILE = "prior.npz"  # of the run folder


def prior_of(config: PretrainConfig, folder: Path) -> PosePrior | None:
    """The prior of a run in a folder, None where its method has none; `UserError` if it cannot be read.

    A run that goes on has the copy in its folder, wherever that is by then.
    """
    loss = config.loss
    if not isinstance(loss, KeypointGANConfig):
        return None
    if config.resume and (folder / PRIOR_FILE).is_file():
        return read_prior(folder / PRIOR_FILE)
    return _magical(config.seed) if loss.prior == MAGICAL else read_prior(loss.prior)


def with_prior(config: PretrainConfig, prior: PosePrior | None, folder: Path) -> PretrainConfig:
    """The configuration to build the method from: its prior is a copy in the run's folder, written here.

    What is written down of the run is the configuration as it was given.
    """
    if prior is None:
        return config
    assert isinstance(config.loss, KeypointGANConfig)
    write_prior(folder / PRIOR_FILE, prior)
    loss = dataclasses.replace(config.loss, prior=str(folder / PRIOR_FILE))
    return dataclasses.replace(config, loss=loss)


def _magical(seed: int) -> PosePrior:
    from mint_rl.envs.magical.skeleton import pose_prior

    return pose_prior(seed=seed)
