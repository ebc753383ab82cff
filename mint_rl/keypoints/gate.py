"""The entropy gate: a keypoint in an empty place is not active, whatever its feature map says.

MINT's status is a threshold on the feature map alone, so some keypoints stay active over blank ground. There
the entropy image that trained the encoder is 0, and cheap to compute again: the gate asks for some of it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.compiled import kernels_of
from mint_rl.entropy import local_entropy, preprocess

_KERNELS = "mint_rl.keypoints.gate_kernels"


def entropy_image(frames: Tensor, preprocessing: str = "binarise", region: int = 3) -> Tensor:
    """MINT's entropy image of uint8 frames (N, H, W, C): (N, H, W) float32, in nats."""
    prepared = preprocess(frames.permute(0, 3, 1, 2), kind=preprocessing)
    return local_entropy(prepared, region=region, bins="hard")


def entropy_around(entropy: Tensor, pixels: Tensor, size: int) -> Tensor:
    """Mean entropy (nats) in the box of `size`×`size` pixels around each keypoint.

    entropy: (N, H, W); pixels: (N, K, 2) column, row. Returns (N, K). The border cuts the box.
    """
    height, width = entropy.shape[-2:]
    # Sums over all pixels above and to the left: four of them give the sum over any box.
    integral = functional.pad(entropy.double().cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten(1)
    column, row = pixels.round().long().unbind(-1)
    reach = size // 2
    left, right = (column - reach).clamp(min=0), (column + reach + 1).clamp(max=width)
    top, bottom = (row - reach).clamp(min=0) * (width + 1), (row + reach + 1).clamp(max=height) * (width + 1)
    corners = torch.cat([bottom + right, top + left, bottom + left, top + right], 1)
    plus, minus, less, least = integral.gather(1, corners).chunk(4, 1)
    pixels_inside = (right - left) * (bottom - top) / (width + 1)
    return ((plus + minus - less - least) / pixels_inside).float()


def entropy_at(
    frames: Tensor, pixels: Tensor, preprocessing: str = "binarise", region: int = 3, size: int = 9
) -> Tensor:
    """What the gate asks for: `entropy_around` in the `entropy_image` of uint8 frames (N, H, W, C).

    pixels: (N, K, 2) column, row. Returns (N, K), nats. On the CPU a kernel gives the same in a fifth of the
    time, but for images that are not binarised and for programs that PyTorch compiles or exports.
    """
    kernels = kernels_of(_KERNELS) if frames.device.type == "cpu" and preprocessing == "binarise" else None
    if kernels is None or torch.compiler.is_compiling():
        return entropy_around(entropy_image(frames, preprocessing, region), pixels, size)
    around = torch.empty(pixels.shape[:2])
    places = pixels.detach().round().long().contiguous().numpy()
    table = kernels.entropies(frames.shape[3] * region**2)
    kernels.binarised_entropy_around(frames.contiguous().numpy(), places, region, size, table, around.numpy())
    return around


def box_mean(entropy: Tensor, size: int) -> Tensor:
    """Mean over the `size`×`size` box around each pixel, cut off at the border: (N, H, W) → (N, H, W)."""
    return functional.avg_pool2d(entropy[:, None], size, 1, size // 2, count_include_pad=False)[:, 0]


def choose_gate(entropy: Tensor, size: int) -> float:
    """A threshold for the gate, in nats, from entropy images (N, H, W) alone: no labels.

    Box means of entropy fall into two groups, blank ground and places where something is. The threshold is
    Otsu's: the one that leaves the least variance inside the groups. At most 256 images are looked at.
    """
    chosen = entropy[:: max(1, len(entropy) // 256)]
    return otsu_threshold(box_mean(chosen, size).flatten())


def otsu_threshold(values: Tensor, bins: int = 256) -> float:
    """The threshold that splits values in two with the greatest variance between them (Otsu, 1979)."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    counts = torch.histc(values, bins, low, high).double()
    edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    below, moment = counts.cumsum(0), (counts * centres).cumsum(0)
    total, mean = below[-1], moment[-1] / below[-1]
    # w₀w₁(μ₀−μ₁)² = (μW₀ − M₀)² / (W₀(W − W₀)), up to a constant.
    between = (mean * below - moment) ** 2 / (below * (total - below)).clamp(min=1e-9)
    return float(edges[1:][int(between[:-1].argmax())])
