"""Encoders trained apart, made one: their networks side by side, and the keypoints worth keeping.

A feature map gives one place, its maximum, so an encoder leaves objects out where several of its maps agree
on another one. Encoders of other training seeds agree on other objects: together they leave out hardly any.
Most of their keypoints are then told by the rest, so only those are kept that add to the entropy covered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.heatmaps import to_pixels
from mint_rl.keypoints.mint import MintLossConfig, aggregated_mask

_LAST = 15  # index of the network's last convolution, which makes a feature map for each keypoint
# What encoders must have in common to stand side by side, beside their number of keypoints.
_SHARED = (
    "num_keypoints", "in_channels", "channels", "image_size", "down_strides", "up_strides", "up_padding",
    "pixel_mean", "pixel_scale", "status_slope", "network", "heatmap", "status",
)  # fmt: skip


def merge(encoders: Sequence[KeypointEncoder], kept: Sequence[Sequence[int]]) -> KeypointEncoder:
    """One frozen encoder whose keypoints are those kept of each of the encoders, one encoder after another.

    kept: of each encoder the numbers of its keypoints, as many of each. γ, window, gate, descriptors and
    tracks are the first one's. Raises `UserError` for encoders that cannot stand side by side
    (`check_alike`).
    """
    check_alike(encoders)
    if len(kept) != len(encoders) or len({len(numbers) for numbers in kept}) != 1 or not kept[0]:
        raise UserError(f"of each of {len(encoders)} encoders as many keypoints must be kept, one at least")
    first = encoders[0].config
    merged = KeypointEncoder(
        dataclasses.replace(
            first,
            num_keypoints=sum(map(len, kept)),
            trunks=len(encoders),
            channels=first.channels or first.num_keypoints,
        )
    )
    states = [_of_keypoints(encoder, numbers) for encoder, numbers in zip(encoders, kept, strict=True)]
    # Convolutions in groups keep the trunks' weights one after another, and so does BatchNorm.
    merged.load_state_dict(
        {
            name: value if value.ndim == 0 else torch.cat([state[name] for state in states])
            for name, value in states[0].items()
        }
    )
    return merged.eval().requires_grad_(False)


def check_alike(encoders: Sequence[KeypointEncoder]) -> None:
    """`UserError` unless these are two or more encoders of one kind and size, none of them merged already."""
    if len(encoders) < 2:
        raise UserError(f"merging needs two encoders at least, got {len(encoders)}")
    first = encoders[0].config
    for number, encoder in enumerate(encoders, 1):
        config = encoder.config
        if config.network == "skeleton" or config.trunks > 1:
            what = "a skeleton's" if config.network == "skeleton" else "a merged one"
            raise UserError(f"encoder {number} is {what}, which cannot be merged")
        for name in _SHARED:
            mine, theirs = getattr(config, name), getattr(first, name)
            if mine != theirs:
                raise UserError(
                    f"encoder {number} has {name} = {mine} and the first {theirs}: only encoders of one kind "
                    "can be merged"
                )


def covered(keypoints: Tensor, size: tuple[int, int], config: MintLossConfig) -> Tensor:
    """The part of an image that each keypoint covers: the mask of it alone, 0 where it is not active.

    keypoints: (T, K, 3) x, y, status. size: height and width of the image, in pixels, in which the σ of
    `config` is too. Returns (T, K, H, W) in [0, 1].
    """
    pixels, active = to_pixels(keypoints[..., :2], *size), (keypoints[..., 2] > 0.5).float()
    return aggregated_mask(pixels[..., None, :], active[..., None], *size, config)


def choose_keypoints(
    cover: Tensor, entropy: Tensor, trunks: int, keep: int
) -> tuple[list[list[int]], NDArray[np.float64]]:
    """Which keypoints to keep so that they cover the most entropy: greedily, one after another.

    cover: (T, K, H, W) in [0, 1] of `covered`, the keypoints of `trunks` encoders one encoder after another.
    entropy: (T, H, W), ≥ 0. keep: how many in all, a multiple of `trunks`, for each gives as many. What is
    covered together is min(Σh, 1), as in the masked entropy (MINT, section 2.2.1). Greedy choice covers at
    least 1 − 1/e of what the best would where one encoder gives all (Nemhauser et al., 1978), and half of it
    where each gives as many (Fisher et al., 1978).

    Returns the numbers kept of each encoder, in ascending order, and the share of the entropy, averaged over
    frames, that was covered after each choice: (keep,).
    """
    frames, keypoints = cover.shape[:2]
    share, quota = keypoints // trunks, keep // trunks
    weight = entropy.flatten(1) / entropy.flatten(1).sum(1, keepdim=True).clamp(min=1e-6) / frames
    heat = cover.flatten(2)  # (T, K, P)
    free = torch.ones_like(weight)  # 1 − what is covered so far
    kept: list[list[int]] = [[] for _ in range(trunks)]
    open_to_choice = torch.ones(keypoints, dtype=torch.bool)
    shares = np.zeros(keep)
    for step in range(keep):
        gain = torch.einsum("tkp,tp->k", torch.minimum(heat, free[:, None]), weight)
        best = int(torch.where(open_to_choice, gain, -1.0).argmax())
        trunk, number = divmod(best, share)
        kept[trunk].append(number)
        open_to_choice[best] = False
        if len(kept[trunk]) == quota:
            open_to_choice[trunk * share : (trunk + 1) * share] = False
        free = (free - heat[:, best]).clamp(min=0.0)
        shares[step] = 1.0 - float((free * weight).sum())
    return [sorted(numbers) for numbers in kept], shares


def _of_keypoints(encoder: KeypointEncoder, numbers: Sequence[int]) -> dict[str, Tensor]:
    """The weights of an encoder without the feature maps of its other keypoints."""
    chosen = torch.tensor(numbers)
    last, norm = f"network.{_LAST}.", f"network.{_LAST + 2}."
    state: dict[str, Tensor] = {}
    for name, value in encoder.state_dict().items():
        if name == f"{last}weight":  # a transposed convolution's: inputs × outputs
            value = value[:, chosen]
        elif name.startswith((last, norm)) and value.ndim:
            value = value[chosen]
        state[name] = value
    return state
