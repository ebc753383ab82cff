"""The MINT losses as the paper writes them, over whole images, in the plainest way: the tests' oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from mint_rl.keypoints.mint import MintLossConfig


def dense_heatmaps(
    coordinates: Tensor, height: int, width: int, config: MintLossConfig
) -> tuple[Tensor, Tensor]:
    """Gaussians and heatmaps (…, H, W) of keypoints (…, 2) in [0, 1] (appendix A.3)."""
    x = coordinates[..., 0, None, None] * (width - 1)
    y = coordinates[..., 1, None, None] * (height - 1)
    columns = torch.arange(width, dtype=coordinates.dtype)[None, :]
    rows = torch.arange(height, dtype=coordinates.dtype)[:, None]
    gaussians = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / config.sigma**2)
    return gaussians, torch.clamp(config.eta * torch.relu(gaussians - config.tau), 0, 1)


def dense_terms(
    coordinates: Tensor, status: Tensor, entropy: Tensor, config: MintLossConfig
) -> dict[str, Tensor]:
    """All terms for coordinates (B, 2, K, 2), status (B, 2, K), entropy (B, 2, H, W)."""
    batch, _, number, _ = coordinates.shape
    height, width = entropy.shape[-2:]
    gaussians, heat = dense_heatmaps(coordinates, height, width, config)
    mask = torch.minimum((heat * status[..., None, None]).sum(2), torch.ones(()))  # M_t
    masked_entropy = (1 - (entropy * mask).sum((2, 3)) / entropy.sum((2, 3))).mean()

    previous, current = entropy[:, 0], entropy[:, 1]
    conditional = torch.maximum(previous, current) - previous
    shares = [
        1 - (conditional[b] * mask[b, 1]).sum() / conditional[b].sum()
        for b in range(batch)
        if conditional[b].sum() > 0
    ]
    masked_conditional = torch.stack(shares).mean() if shares else torch.zeros(())

    # A_h: a heatmap that no border cuts off
    far = 4 * int(config.sigma) + 20
    middle = torch.full((2,), 0.5, dtype=coordinates.dtype)
    area = dense_heatmaps(middle, 2 * far + 1, 2 * far + 1, config)[1].sum()
    residuals = []
    for k in range(number):
        h_previous, h_current = heat[:, 0, k], heat[:, 1, k]
        source = previous * (1 - h_previous) * (1 - h_current)
        target = current * h_current + config.kappa * conditional * (1 - h_current)
        mutual = torch.minimum(current, source + target)
        residuals.append((current - mutual).sum((1, 2)) / area)
    residual = torch.stack(residuals, 1)  # (B, K)
    moved = ((coordinates[:, 1] - coordinates[:, 0]) ** 2).sum(-1)
    if config.movement_reach:
        limit = config.movement_reach**2
        moved = limit - limit * torch.exp(-moved / limit)
    moved = moved * status[:, 0] * status[:, 1]
    transport = (residual.mean(1) + config.movement * moved.sum(1)).mean()

    overlap = torch.clamp(gaussians.sum(2).amax((2, 3)) - config.beta, min=0).mean() / number
    active = status.sum(2).mean() / number
    total = (
        config.lambda_me * masked_entropy
        + config.lambda_mce * masked_conditional
        + config.lambda_it * transport
        + config.lambda_overlap * overlap
        + (1 - masked_entropy) * config.lambda_status * active
    )
    return {
        "total": total,
        "masked_entropy": masked_entropy,
        "masked_conditional_entropy": masked_conditional,
        "transport": transport,
        "residual": residual.mean(),
        "movement": moved.sum(1).mean(),
        "overlap": overlap,
        "status": active,
    }
