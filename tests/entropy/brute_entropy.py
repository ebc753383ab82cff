"""Local entropy by brute force in float64 numpy, region by region, for the tests to compare with.

Shares no code with the package. Slow: a few hundred regions a second.
"""

from __future__ import annotations

import numpy as np

BINS = 256


def brute_entropy(images, region, bandwidth=None, padding="replicate"):
    """images: (N, C, H, W), uint8 or floating; bandwidth None for hard bins. Returns float64 (N, H, W)."""
    shares = [_shares(image, bandwidth)[0] for image in images]
    places = _places(images.shape[2:], region, padding)
    return np.stack([_entropies(_region_means(share, places)) for share in shares])


def brute_gradient(images, grad, region, bandwidth, padding="replicate"):
    """Gradient of sum(grad * entropy): of every region −(1/M) Σ_k w'_k (ln p_k + 1), added up by pixel."""
    rows, columns = _places(images.shape[2:], region, padding)
    result = np.zeros(images.shape, np.float64)
    for n, image in enumerate(images):
        weights, slopes = _shares(image, bandwidth)
        means = _region_means(weights, (rows, columns))
        per_region = image.shape[0] * region**2
        for y in range(len(rows)):
            for x in range(len(columns)):
                p = means[y, x]
                logs = np.log(p, out=np.zeros_like(p), where=p > 0) + 1
                for r in rows[y]:
                    for c in columns[x]:
                        result[n, :, r, c] -= grad[n, y, x] * (slopes[:, r, c] @ logs) / per_region
    return result


def _shares(image, bandwidth):
    """Weights (C, H, W, 256) of every value in the bins, and their derivatives with respect to the value."""
    if bandwidth is None:
        levels = image if image.dtype == np.uint8 else np.rint(image * image.dtype.type(255)).astype(int)
        return np.eye(BINS)[np.clip(levels, 0, 255)], None
    values = image.astype(np.float64) / (255 if image.dtype == np.uint8 else 1)
    edges = (np.arange(1, BINS) - 0.5) / 255
    with np.errstate(over="ignore"):
        above = 1 / (1 + np.exp(-(values[..., None] - edges) / bandwidth))
        beyond = 1 / (1 + np.exp((values[..., None] - edges) / bandwidth))  # 1 − above, without cancellation
    ones, zeros = np.ones_like(above[..., :1]), np.zeros_like(above[..., :1])
    # above[k] − above[k + 1], from whichever tail is small
    upper = np.concatenate([ones, above], -1) - np.concatenate([above, zeros], -1)
    lower = np.concatenate([beyond, ones], -1) - np.concatenate([zeros, beyond], -1)
    centre = values[..., None] > np.arange(BINS) / 255
    weights = np.where(centre, lower, upper)
    slope = above * beyond / bandwidth
    return weights, np.concatenate([zeros, slope], -1) - np.concatenate([slope, zeros], -1)


def _places(size, region, padding):
    """For every output row its rows of the image, and the same for columns."""
    half = region // 2

    def along(length):
        centres = range(half, length - half) if padding == "valid" else range(length)
        lists = []
        for centre in centres:
            inside = []
            for i in range(centre - half, centre + half + 1):
                if padding == "reflect":
                    i = -i if i < 0 else 2 * (length - 1) - i if i >= length else i
                inside.append(min(max(i, 0), length - 1))
            lists.append(inside)
        return lists

    return along(size[0]), along(size[1])


def _region_means(weights, places):
    rows, columns = places
    means = [[weights[:, r][:, :, c].mean(axis=(0, 1, 2)) for c in columns] for r in rows]
    return np.array(means).reshape(len(rows), len(columns), BINS)


def _entropies(means):
    logs = np.log(means, out=np.zeros_like(means), where=means > 0)
    return -(means * logs).sum(-1)
