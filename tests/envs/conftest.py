"""A small untrained encoder, as an object and as a folder; torch is imported by those who ask for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from picture_envs import SIZE

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder


@pytest.fixture(scope="session")
def encoder() -> KeypointEncoder:
    import torch

    from mint_rl.keypoints.encoder import KeypointEncoder
    from mint_rl.keypoints.encoder_config import EncoderConfig

    torch.manual_seed(0)
    config = EncoderConfig(num_keypoints=6, image_size=SIZE, gamma=0.5, window=0.2, gate=0.01)
    return KeypointEncoder(config).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tracking(encoder: KeypointEncoder) -> KeypointEncoder:
    """The same encoder, which follows its keypoints by tracks."""
    import dataclasses

    from mint_rl.keypoints.encoder import KeypointEncoder

    tracking = KeypointEncoder(dataclasses.replace(encoder.config, tracks=4, reach=0.15))
    tracking.load_state_dict(encoder.state_dict())
    return tracking.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def folder(encoder: KeypointEncoder, tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("encoder") / "small"
    encoder.save_pretrained(target)
    return str(target)
