"""Small images of the kinds that entropy is tested on: float32 (C, H, W) in [0, 1], all levels of 8 bits."""

from __future__ import annotations

import numpy as np

KINDS = ("natural", "flat", "noise", "saturated", "checkerboard")


def picture(kind, size=(14, 19), channels=3, seed=0):
    """One image as float32; multiply by 255 and round for the same image as uint8."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    shape = (channels, height, width)
    if kind == "natural":  # soft shading, an edge, a little grain
        shade = [0.4 + 0.3 * np.sin(0.3 * x + c) * np.cos(0.2 * y - c) + 0.002 * x for c in range(channels)]
        edge = x + 2 * y > 0.6 * (width + height)
        image = np.stack(shade) + 0.25 * edge + 0.01 * rng.standard_normal(shape)
    elif kind == "flat":
        image = np.full(shape, 93 / 255)
    elif kind == "noise":
        image = rng.random(shape)
    elif kind == "saturated":
        image = 0.5 + 2 * rng.standard_normal(shape)
    elif kind == "checkerboard":
        image = np.broadcast_to((x + y) % 2, shape)
    return (np.rint(np.clip(image, 0, 1) * 255) / 255).astype(np.float32)


def between_levels(image, seed=1):
    """The image with its values moved off the levels, as real-valued images have them."""
    rng = np.random.default_rng(seed)
    return np.clip(image + rng.uniform(-0.45, 0.45, image.shape) / 255, 0, 1).astype(np.float32)
