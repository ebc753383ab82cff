"""What MINT does to a frame before it takes the entropy: named, so that a configuration can choose.

`sharpen_binarise` is for small synthetic images (MAGICAL): only outlines of strong contrast are left, pale
fills and borders vanish. `blur_sharpen_divide` is the text of the paper (appendix B.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mint_rl.entropy.checks import check_images
from mint_rl.entropy.reference import box_sum
from mint_rl.errors import unknown_name

PREPROCESSINGS = ("binarise", "paper", "none")
SHARPNESS = 10.0  # how far a pixel is pushed away from its blurred self, in multiples of the difference


def preprocess(images: Tensor, kind: str = "binarise") -> Tensor:
    """Prepare frames for `local_entropy`.

    images: (N, C, H, W), uint8 or floating in [0, 1].
    kind: "binarise" (`sharpen_binarise`), "paper" (`blur_sharpen_divide`) or "none" (the images as they are).
    Raises `UserError` for another kind, or images of another type or shape.
    """
    if kind == "binarise":
        return sharpen_binarise(images)
    if kind == "paper":
        return blur_sharpen_divide(images)
    if kind == "none":
        check_images(images)
        return images
    raise unknown_name("preprocessing", str(kind), PREPROCESSINGS)


def sharpen_binarise(images: Tensor) -> Tensor:
    """Sharpen by ten, clamp to [0, 1] and round to 0 or 1: what the authors did for small images.

    images: (N, C, H, W), uint8 or floating in [0, 1]. The blur is [[1,1,1],[1,5,1],[1,1,1]]/13 with the
    border replicated; sharpened = blur + 10·(image − blur). Returns uint8 of the same shape, 0 or 255:
    no gradient.
    """
    check_images(images)
    if images.numel() == 0:
        return images.to(torch.uint8)
    levels = images.float() if images.dtype == torch.uint8 else images.detach().float() * 255
    blur = _neighbourhood_sum(levels).add_(levels, alpha=4)  # thirteen times the blur
    # Thirteen times the sharpened level against thirteen times the half: whole numbers for uint8 images, and
    # exact in float32, so the result does not depend on the device or on the order of the sums.
    sharpened = levels.mul(13 * SHARPNESS).sub_(blur, alpha=SHARPNESS - 1)
    return (sharpened > 13 * 127.5).to(torch.uint8).mul_(255)


def blur_sharpen_divide(images: Tensor) -> Tensor:
    """Blur, sharpen the blurred image, divide it by the blurred one (the MINT paper, appendix B.1).

    images: (N, C, H, W), uint8 or floating in [0, 1]. Both blurs are 3×3 means with the border replicated,
    and the sharpening is by ten. Returns the ratio, clamped to [0, 1]: float32 (float64 for float64).
    """
    check_images(images)
    if images.dtype == torch.uint8:
        images = images.float() / 255
    elif images.dtype != torch.float64:
        images = images.float()
    if images.numel() == 0:
        return images
    smooth = _neighbourhood_sum(images) / 9
    smoother = _neighbourhood_sum(smooth) / 9
    sharp = (smoother + SHARPNESS * (smooth - smoother)).clamp(0, 1)
    darkest = 1e-3 / 255  # so that black divides to black, not to NaN
    return (sharp / smooth.clamp_min(darkest)).clamp(0, 1)


def _neighbourhood_sum(images: Tensor) -> Tensor:
    return box_sum(pad_border(images, 1, "replicate"), 3)


def pad_border(images: Tensor, width: int, padding: str) -> Tensor:
    """`images` (..., H, W) with `width` pixels added on each side, by "replicate" or "reflect".

    torch.nn.functional.pad does the same for floating images, but not for uint8 on every device.
    """
    for dim in (-2, -1):
        size = images.shape[dim]
        if padding == "replicate":
            shape = list(images.shape)
            shape[dim] = width
            before = images.narrow(dim, 0, 1).expand(shape)
            after = images.narrow(dim, size - 1, 1).expand(shape)
        else:
            before = images.narrow(dim, 1, width).flip(dim)
            after = images.narrow(dim, size - 1 - width, width).flip(dim)
        images = torch.cat([before, images, after], dim)
    return images
