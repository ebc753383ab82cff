"""Frames that are tensors: resized as OpenCV resizes arrays, encoded to the same keypoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.resize import area_weights, resize_frames, resize_tensor
from mint_rl.keypoints.tensor_frames import encode_tensor


def test_area_weights_by_hand() -> None:
    thirds = area_weights(3, 2)  # each new pixel covers one and a half old ones
    torch.testing.assert_close(thirds, torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))
    torch.testing.assert_close(area_weights(4, 2), torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]))
    torch.testing.assert_close(area_weights(2, 3), torch.tensor([[1, 0], [0.5, 0.5], [0, 1.0]]))
    for length, target in ((400, 96), (17, 96), (96, 96)):
        torch.testing.assert_close(area_weights(length, target).sum(1), torch.ones(target))


@pytest.mark.parametrize("size", [(384, 384), (400, 600), (57, 131), (96, 96), (48, 20)])
def test_resized_as_arrays_are(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    ours = resize_tensor(torch.from_numpy(frames), (96, 96)).numpy().astype(int)
    difference = np.abs(ours - resize_frames(frames, (96, 96)))
    assert difference.max() <= (2 if size == (57, 131) else 1)
    assert difference.mean() < 0.2


def test_encoded_as_arrays_are() -> None:
    torch.manual_seed(0)
    encoder = KeypointEncoder(EncoderConfig(num_keypoints=5, image_size=(48, 48), gamma=0.5, gate=0.01))
    frames = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), np.uint8)
    encoder.train()
    found = encode_tensor(encoder, torch.from_numpy(frames), descriptors=True, batch_size=2)
    assert encoder.training
    assert not found.requires_grad
    np.testing.assert_allclose(found.numpy(), encoder.encode(frames, descriptors=True), atol=1e-6)
