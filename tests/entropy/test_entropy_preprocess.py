"""MINT's preprocessing against plain numpy and values computed by hand."""

import numpy as np
import pytest
import torch
from entropy_images import picture

from mint_rl.entropy import blur_sharpen_divide, local_entropy, preprocess, sharpen_binarise


def neighbours(image):
    """(9, C, H, W): the pixels of the 3×3 neighbourhood, border replicated, the middle one at index 4."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = image.shape[1:]
    return np.stack([padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)])


def by_hand_binarise(levels):
    around = neighbours(levels.astype(np.float64))
    blur = (around.sum(0) + 4 * around[4]) / 13
    sharpened = np.clip(blur + 10 * (levels - blur), 0, 255)
    return np.where(sharpened / 255 > 0.5, 255, 0).astype(np.uint8)


def by_hand_paper(values):
    smooth = neighbours(values.astype(np.float64)).mean(0)
    smoother = neighbours(smooth).mean(0)
    sharp = np.clip(smoother + 10 * (smooth - smoother), 0, 1)
    return np.clip(sharp / np.maximum(smooth, 1e-3 / 255), 0, 1)


@pytest.mark.parametrize("kind", ["natural", "noise", "saturated", "flat"])
def test_against_numpy(kind, device):
    values = picture(kind, size=(16, 21))
    levels = np.rint(values * 255).astype(np.uint8)
    binarised = sharpen_binarise(torch.tensor(levels, device=device)[None])
    assert binarised.dtype == torch.uint8
    np.testing.assert_array_equal(binarised[0].cpu().numpy(), by_hand_binarise(levels))
    divided = blur_sharpen_divide(torch.tensor(values, device=device)[None])
    np.testing.assert_allclose(divided[0].cpu().numpy(), by_hand_paper(values), atol=2e-5)
    from_levels = blur_sharpen_divide(torch.tensor(levels, device=device)[None])
    torch.testing.assert_close(from_levels, divided, atol=1e-5, rtol=0)


def test_a_step_by_hand():
    """Levels 100 | 160: blurred to (100·10 + 160·3)/13 and its mirror, sharpened far away from a half."""
    levels = torch.full((1, 1, 5, 6), 100, dtype=torch.uint8)
    levels[..., 3:] = 160
    result = sharpen_binarise(levels)[0, 0, 2].tolist()
    blur_left, blur_right = (1000 + 480) / 13, (1600 + 300) / 13
    assert blur_left + 10 * (100 - blur_left) < 127.5 < blur_right + 10 * (160 - blur_right)
    assert result == [0, 0, 0, 255, 255, 255]


def test_pale_fills_vanish_and_outlines_stay():
    """MAGICAL's arena in small: a pale region on white has no entropy left, a dark block has some."""
    picture = torch.full((1, 3, 40, 40), 235, dtype=torch.uint8)
    picture[:, :, 5:18, 5:18] = torch.tensor([220, 235, 220], dtype=torch.uint8)[:, None, None]
    picture[:, :, 25:35, 25:35] = torch.tensor([60, 60, 180], dtype=torch.uint8)[:, None, None]
    entropy = local_entropy(sharpen_binarise(picture))[0]
    assert entropy[3:20, 3:20].max() == 0
    assert entropy[24:36, 24:36].max() > 0.5


def test_floats_and_bytes_binarise_alike():
    levels = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8)
    assert (sharpen_binarise(levels) != sharpen_binarise(levels / 255)).float().mean() < 1e-3


def test_names():
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(preprocess(images), sharpen_binarise(images))
    assert torch.equal(preprocess(images, "paper"), blur_sharpen_divide(images))
    assert preprocess(images, "none") is images


def test_black_images_and_single_pixels():
    black = torch.zeros(1, 3, 6, 6)
    assert blur_sharpen_divide(black).isfinite().all()
    assert sharpen_binarise(black).max() == 0
    assert blur_sharpen_divide(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)
    assert sharpen_binarise(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)


def test_the_paper_version_has_a_gradient():
    images = (0.2 + 0.6 * torch.rand(1, 3, 5, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(blur_sharpen_divide, (images,), eps=1e-7)
