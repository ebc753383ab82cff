"""The MINT losses: keypoints that cover the information of a video and carry it from frame to frame.

Each term is a pure function beside its equation (MINT, section 2.2). They take keypoints in pixels and
entropy images, which are constants: nothing that is learned lies upstream of them.

The plain formulas ask for a heatmap of the whole image for every keypoint. A heatmap is 0 outside a small
window, so each term here is computed from windows alone, exactly: the mask is assembled from windows; the
transport residual is one sum that all keypoints share plus a correction inside the windows of each.

Shapes: B sequences of T frames with K keypoints on entropy images of H×W pixels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.keypoints.heatmaps import (
    gaussian_sum,
    heatmap,
    heatmap_area,
    to_pixels,
    window_positions,
    window_reach,
    windowed_gaussian,
)
from mint_rl.keypoints.method import MethodConfig, Needs
from mint_rl.options import option

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder
    from mint_rl.keypoints.methods.mint import Mint


@dataclass
class MintLossConfig(MethodConfig):
    """Weights and sizes of the loss. λ_o, β, σ, τ and the movement are this project's; the rest, the paper's.

    The paper's own values (table 6) are in `mint_rl/configs/method/mint-paper.yaml`.
    """

    lambda_me: float = option(100.0, "weight of the masked entropy")
    lambda_mce: float = option(100.0, "weight of the masked conditional entropy")
    lambda_it: float = option(20.0, "weight of the information transport")
    lambda_overlap: float = option(100.0, "weight of the overlap")
    lambda_status: float = option(10.0, "weight of the active share, scheduled by 1 − ME")
    kappa: float = option(0.9, "share of the conditional entropy that the transport may use")
    beta: float = option(1.5, "summed Gaussians tolerated before overlap costs")
    movement: float = option(40.0, "m_d, weight of the movement (the paper's 1 on MAGICAL)")
    movement_reach: float = option(
        0.08, "distance, in image widths, from which on moving further costs no more; 0: no such limit"
    )
    sigma: float = option(8.0, "width of the Gaussians in pixels of the entropy image")
    tau: float = option(0.15, "height at which the Gaussians are cut off")
    eta: float = option(3.5, "slope of the heatmaps")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise UserError(f"loss.{field.name} is {value!r}; it must be a number from 0 up")
        if self.sigma <= 0 or self.eta <= 0:
            raise UserError(f"loss.sigma is {self.sigma} and loss.eta {self.eta}; both must be above 0")
        if not 0 < self.tau < 1:
            raise UserError(f"loss.tau is {self.tau}; it must lie between 0 and 1")
        if self.kappa > 1:
            raise UserError(f"loss.kappa is {self.kappa}; it must lie between 0 and 1")

    def needs(self) -> Needs:
        """Pairs of neighbours and their entropy; a keypoint is compared in the video's own coordinates."""
        return Needs(entropy=True, apart=True)

    def build(self, encoder: KeypointEncoder) -> Mint:
        """See `MethodConfig.build`."""
        from mint_rl.keypoints.methods.mint import Mint

        return Mint(encoder, self)


class MintTerms(NamedTuple):
    """The loss and its unweighted terms, each a scalar averaged over the batch."""

    total: Tensor
    masked_entropy: Tensor  # ME, 0 (all entropy covered) to 1
    masked_conditional_entropy: Tensor  # MCE, 0 to 1
    transport: Tensor  # IT: residual + m_d · movement
    residual: Tensor  # entropy that transport does not explain, per keypoint, in heatmap areas
    movement: Tensor  # movement of active keypoints, image widths², summed over keypoints
    overlap: Tensor  # excess of the summed Gaussians over β, per keypoint
    status: Tensor  # active share, 0 to 1


def aggregated_mask(
    pixels: Tensor, status: Tensor, height: int, width: int, config: MintLossConfig
) -> Tensor:
    """M = min(Σ_i h_i·s_i, 1), the part of the image that the active keypoints cover (section 2.2.1).

    pixels (…, K, 2), status (…, K) in [0, 1]; returns (…, H, W) in [0, 1].
    """
    reach = window_reach(config.sigma, config.tau)
    positions = window_positions(pixels, reach)
    heat = heatmap(windowed_gaussian(pixels, positions, config.sigma), config.tau, config.eta)
    padded_height, padded_width = height + 2 * reach, width + 2 * reach
    index = _plane_index(positions, reach, padded_width)
    batch = pixels.shape[:-2]
    plane = heat.new_zeros(*batch, padded_height * padded_width)
    plane = plane.scatter_add(-1, index.flatten(-3), (heat * status[..., None, None]).flatten(-3))
    plane = plane.view(*batch, padded_height, padded_width)
    inner: Tensor = plane[..., reach : reach + height, reach : reach + width]
    return inner.clamp(max=1.0)


def conditional_entropy(previous: Tensor, current: Tensor) -> Tensor:
    """E(I_t | I_{t−1}) = max(E(I_t), E(I_{t−1})) − E(I_{t−1}) per pixel, by Lemma 1."""
    return torch.relu(current - previous)


def masked_entropy_loss(entropy: Tensor, mask: Tensor) -> Tensor:
    """L_ME of Eq. 3: the share of a frame's entropy that the mask leaves out; (…, H, W) → (…)."""
    return 1.0 - (entropy * mask).sum((-2, -1)) / entropy.sum((-2, -1)).clamp(min=1e-6)


def masked_conditional_entropy_loss(previous: Tensor, current: Tensor, mask: Tensor) -> Tensor:
    """L_MCE of Eq. 5, averaged over the pairs: entropy (N, H, W) of both frames, mask of the current one.

    A pair in which nothing changed has no conditional entropy and is left out of the mean.
    """
    change = conditional_entropy(previous, current)
    total = change.sum((-2, -1))
    missed = 1.0 - (change * mask).sum((-2, -1)) / total.clamp(min=1e-6)
    changed = (total > 1e-6).to(missed.dtype)
    return (missed * changed).sum() / changed.sum().clamp(min=1.0)


def transport_excess(
    previous: Tensor,
    current: Tensor,
    heat_previous: Tensor | float,
    heat_current: Tensor | float,
    kappa: float,
) -> Tensor:
    """E(I_t) − I(I_t, R) per pixel (section 2.2.2), with the mutual information I = min(E(I_t), E(R)).

    E(R) = E(S) + E(T), with the source E(S) = E(I_{t−1})·(1−h_{t−1})·(1−h_t) and the target
    E(T) = E(I_t)·h_t + κ·E(I_t|I_{t−1})·(1−h_t).
    """
    rest = 1.0 - heat_current
    reconstructed = (
        previous * (1.0 - heat_previous) * rest
        + current * heat_current
        + kappa * conditional_entropy(previous, current) * rest
    )
    return torch.relu(current - reconstructed)


def transport_residual(pixels: Tensor, entropy: Tensor, config: MintLossConfig) -> Tensor:
    """Σ over pixels of `transport_excess` / A_h: what transporting each keypoint alone leaves unexplained.

    pixels (N, 2, K, 2) and entropy (N, 2, H, W) of the previous and the current frame; returns (N, K).
    Outside a keypoint's two windows the reconstruction does not depend on the keypoint: that sum is shared.
    """
    reach = window_reach(config.sigma, config.tau)
    padded = functional.pad(entropy, (reach,) * 4)
    untouched = transport_excess(padded[:, 0], padded[:, 1], 0.0, 0.0, config.kappa)
    planes = torch.cat([padded, untouched[:, None]], 1)  # (N, 3, H', W'): previous, current, shared term
    positions = window_positions(pixels, reach)  # (N, 2, K, 2, n)
    index = _plane_index(positions, reach, padded.shape[-1])  # (N, 2, K, n, n)

    def heat(frame: int, window: int) -> Tensor:
        """Heatmaps of the keypoints of `frame` on the windows around the keypoints of frame `window`."""
        gaussians = windowed_gaussian(pixels[:, frame], positions[:, window], config.sigma)
        return heatmap(gaussians, config.tau, config.eta)

    before, now, shared = _gather(planes, index[:, 1])
    around_current = transport_excess(before, now, heat(0, 1), heat(1, 1), config.kappa) - shared
    # What the previous window shares with the current one has been counted; in the rest of it h_t is 0.
    before, now, shared = _gather(planes, index[:, 0])
    around_previous = transport_excess(before, now, heat(0, 0), 0.0, config.kappa) - shared
    near = (positions[:, 0] - pixels[:, 1].detach().round()[..., None]).abs() <= reach
    around_previous = around_previous * ~(near[..., 1, :, None] & near[..., 0, None, :])

    total: Tensor = untouched.sum((-2, -1))[:, None] + (around_current + around_previous).sum((-2, -1))
    return total / heatmap_area(config.sigma, config.tau, config.eta)


def movement(coordinates: Tensor, status: Tensor, reach: float = 0.0) -> Tensor:
    """d_t = ‖(x, y)_t − (x, y)_{t−1}‖², counted where the keypoint is active in both frames.

    With a `reach` r > 0, in image widths, r²·(1 − exp(−d_t/r²)) instead (Welsch): the same for small steps,
    but a keypoint that changes objects costs no more the farther they are apart. So trembling is penalised
    and yet no object given up, where squares would rather leave an object alone than risk a long jump.

    coordinates (N, 2, K, 2) in [0, 1], status (N, 2, K); returns (N, K).
    """
    squared = (coordinates[:, 1] - coordinates[:, 0]).square().sum(-1)
    if reach > 0:
        squared = reach**2 * -torch.expm1(-squared / reach**2)
    return squared * status[:, 0] * status[:, 1]


def overlap_loss(pixels: Tensor, height: int, width: int, config: MintLossConfig) -> Tensor:
    """L_o = max(max_{x,y} Σ_i G_i − β, 0) / K of section 2.2.3; pixels (…, K, 2) → (…).

    The paper prints min(·, 0), which would never penalise an overlap.
    """
    peak = gaussian_sum(pixels, height, width, config.sigma).flatten(-2).amax(-1)
    return torch.relu(peak - config.beta) / pixels.shape[-2]


def status_loss(status: Tensor) -> Tensor:
    """L_s = Σ_i s_i / K of section 2.2.3, the active share; (…, K) → (…)."""
    return status.mean(-1)


def mint_loss(coordinates: Tensor, status: Tensor, entropy: Tensor, config: MintLossConfig) -> MintTerms:
    """L_MINT = λ_ME·ME + λ_MCE·MCE + λ_IT·IT + λ_o·L_o + (1−ME)·λ_s·L_s (section 2.2.3), mean of the batch.

    coordinates (B, T, K, 2) in [0, 1], status (B, T, K) in [0, 1], entropy (B, T, H, W) in nats, T ≥ 2
    consecutive frames. The temporal terms pair each frame with the next. IT is the residual averaged over
    keypoints plus m_d times the movement summed over keypoints.
    """
    height, width = entropy.shape[-2:]
    pixels = to_pixels(coordinates, height, width)
    mask = aggregated_mask(pixels, status, height, width, config)
    covered = masked_entropy_loss(entropy, mask).mean()
    changed = masked_conditional_entropy_loss(
        entropy[:, :-1].flatten(0, 1), entropy[:, 1:].flatten(0, 1), mask[:, 1:].flatten(0, 1)
    )
    residual = transport_residual(_pairs(pixels), _pairs(entropy), config).mean()
    moved = movement(_pairs(coordinates), _pairs(status), config.movement_reach).sum(-1).mean()
    transport = residual + config.movement * moved
    overlap = overlap_loss(pixels, height, width, config).mean()
    active = status_loss(status).mean()
    total = (
        config.lambda_me * covered
        + config.lambda_mce * changed
        + config.lambda_it * transport
        + config.lambda_overlap * overlap
        + (1.0 - covered) * config.lambda_status * active
    )
    return MintTerms(total, covered, changed, transport, residual, moved, overlap, active)


def _pairs(sequence: Tensor) -> Tensor:
    """(B, T, …) → (B·(T−1), 2, …): each frame with the next."""
    return torch.stack([sequence[:, :-1], sequence[:, 1:]], 2).flatten(0, 1)


def _plane_index(positions: Tensor, reach: int, padded_width: int) -> Tensor:
    """Windows (…, 2, n) → indices (…, n, n) into a flattened plane padded by `reach` on every side."""
    return (positions[..., 1, :, None] + reach) * padded_width + positions[..., 0, None, :] + reach


def _gather(planes: Tensor, index: Tensor) -> Tensor:
    """Read planes (N, P, H, W) at windows (N, K, n, n): (P, N, K, n, n)."""
    flat = planes.flatten(2).transpose(0, 1)  # (P, N, H·W)
    wanted = index.flatten(1).expand(flat.shape[0], -1, -1)
    return flat.gather(2, wanted).view(-1, *index.shape)
