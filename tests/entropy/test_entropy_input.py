"""What the entropy functions refuse: one sentence with the argument, its value and what is allowed."""

import math

import pytest
import torch

from mint_rl.entropy import LocalEntropy, local_entropy, preprocess
from mint_rl.errors import UserError

IMAGES = torch.zeros(2, 3, 8, 9)


def spoil(value):
    images = IMAGES.clone()
    images[1, 2, 4, 5] = value
    return images


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([[1.0]], "images is list; it must be a torch.Tensor of shape (N, C, H, W)"),
        (IMAGES.long(), "images has dtype torch.int64; it must be torch.uint8 or a float type"),
        (IMAGES.bool(), "images has dtype torch.bool"),
        (IMAGES[0], "images has shape (3, 8, 9); it must have four dimensions, (N, C, H, W)"),
        (IMAGES[:, :0], "images has shape (2, 0, 8, 9); it must have at least one channel"),
    ],
)
@pytest.mark.parametrize("bins", ["hard", "soft"])
def test_bad_images(images, sentence, bins, device):
    with pytest.raises(UserError) as caught:
        local_entropy(images.to(device) if isinstance(images, torch.Tensor) else images, bins=bins)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (math.nan, "images holds NaN or infinite values; all values must lie in [0, 1]"),
        (math.inf, "images holds NaN or infinite values"),
        (-math.inf, "images holds NaN or infinite values"),
        (-0.5, "images holds values from -0.5 to 0; all must lie in [0, 1]: rescale"),
        (200.0, "images holds values from 0 to 200; all must lie in [0, 1]: divide by 255, or"),
        (1.001, "images holds values from 0 to 1.001"),
    ],
)
@pytest.mark.parametrize("bins", ["hard", "soft"])
def test_bad_values(value, sentence, bins, device):
    """On a GPU float64 alone is refused like this; for the kernels see tests/cuda."""
    images = spoil(value).to(device, torch.float32 if device == "cpu" else torch.float64)
    with pytest.raises(UserError) as caught:
        local_entropy(images, bins=bins)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"region": 4}, "region is 4; it must be an odd number from 3 to 11"),
        ({"region": 1}, "region is 1; it must be an odd number from 3 to 11"),
        ({"region": 13}, "region is 13; it must be an odd number from 3 to 11"),
        ({"region": -3}, "region is -3; it must be an odd number from 3 to 11"),
        ({"region": "3"}, "region is '3'; it must be an odd number from 3 to 11"),
        ({"region": 3.5}, "region is 3.5; it must be an odd number from 3 to 11"),
        ({"region": True}, "region is True; it must be an odd number from 3 to 11"),
        ({"bandwidth": 0}, "bandwidth is 0; it must be a finite number above 0"),
        ({"bandwidth": -1e-3}, "bandwidth is -0.001; it must be a finite number above 0"),
        ({"bandwidth": math.nan}, "bandwidth is nan; it must be a finite number above 0"),
        ({"bandwidth": math.inf}, "bandwidth is inf; it must be a finite number above 0"),
        ({"bandwidth": "wide"}, "bandwidth is 'wide'; it must be a finite number above 0"),
        ({"bins": "Soft"}, "unknown bins 'Soft' (did you mean 'soft'?); known: hard, soft"),
        ({"padding": "zeros"}, "unknown padding 'zeros'; known: replicate, reflect, valid"),
        ({"padding": "valid", "region": 9}, "images of 8×9 hold no region of 9×9; use a smaller region"),
        ({"padding": "reflect", "region": 11}, None),
    ],
)
def test_bad_settings(options, sentence):
    if sentence is None:  # 8 pixels are enough to reflect 5
        local_entropy(IMAGES, **options)
        return
    with pytest.raises(UserError) as caught:
        local_entropy(IMAGES, **options)
    assert str(caught.value).startswith(sentence)


def test_an_image_too_small_to_reflect():
    with pytest.raises(UserError, match="images of 2×9 are too small to reflect 3 pixels"):
        local_entropy(IMAGES[:, :, :2], 7, padding="reflect")


def test_the_module_refuses_at_once():
    with pytest.raises(UserError, match="region is 6"):
        LocalEntropy(6)
    with pytest.raises(UserError, match="unknown bins"):
        LocalEntropy(bins="medium")


def test_rounding_errors_outside_the_range_are_let_pass(device):
    assert local_entropy(spoil(1 + 1e-6).to(device)).isfinite().all()
    assert local_entropy(spoil(-1e-6).to(device), bins="soft").isfinite().all()


def test_extreme_bandwidths_give_numbers(device):
    images = torch.rand(1, 3, 6, 6, requires_grad=True, device=device)
    for bandwidth in (5e-324, 1e-30, 1e-12, 1e12, 1e300):
        entropy = local_entropy(images, bins="soft", bandwidth=bandwidth)
        assert entropy.isfinite().all()
        entropy.sum().backward()


def test_unknown_preprocessing():
    with pytest.raises(UserError, match="unknown preprocessing 'sharpen'; known: binarise, paper, none"):
        preprocess(IMAGES, "sharpen")
    with pytest.raises(UserError, match="images has shape"):
        preprocess(IMAGES[0])
