"""Skeletons: keypoints joined by edges, drawn as pictures, and files of poses to learn from.

The drawing function β of KeypointGAN (Jakab et al., 2020, section 3) makes a picture of K points in a way
that gradients can pass. A pose prior is a set of poses of which nobody knows the images: a `.npz` file of

    points  float (N, K, 2): x, y in [0, 1], where 0 and 1 are the centres of the first and the last pixel
    edges   int (E, 2): pairs of different keypoints from 0 to K − 1 that a line joins
    names   text (K,), optional: what the keypoints are called
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mint_rl.errors import UserError
from mint_rl.files import atomic_path
from mint_rl.keypoints.heatmaps import to_pixels

MOST_KEYPOINTS = 256


@dataclass(frozen=True, eq=False)
class PosePrior:
    """N poses of one skeleton. Raises `UserError` for arrays that are none."""

    points: NDArray[np.float32]  # (N, K, 2) x, y in [0, 1]
    edges: tuple[tuple[int, int], ...]  # pairs of keypoints
    names: tuple[str, ...] = ()  # of the keypoints; empty where they have none

    def __post_init__(self) -> None:
        points = self.points
        if points.ndim != 3 or points.shape[2:] != (2,) or 0 in points.shape or points.dtype.kind != "f":
            raise UserError(f"points must be numbers of shape (poses, keypoints, 2), not {points.shape}")
        if not ((points >= 0) & (points <= 1)).all():  # false for what is not a number, too
            raise UserError("points must lie in [0, 1]: x and y in shares of the image's sides")
        object.__setattr__(self, "points", points.astype(np.float32))
        object.__setattr__(self, "edges", checked_edges(self.edges, self.num_keypoints))
        if self.names and len(self.names) != self.num_keypoints:
            raise UserError(f"there are {len(self.names)} names for {self.num_keypoints} keypoints")

    @property
    def num_keypoints(self) -> int:
        """K."""
        return int(self.points.shape[1])


def checked_edges(edges: Sequence[Sequence[int]], num_keypoints: int) -> tuple[tuple[int, int], ...]:
    """Edges as pairs of whole numbers; `UserError` where they are not pairs of different keypoints."""
    pairs = [tuple(pair) if isinstance(pair, list | tuple) else () for pair in edges]
    good = all(
        len(pair) == 2
        and all(type(end) is int and 0 <= end < num_keypoints for end in pair)
        and pair[0] != pair[1]
        for pair in pairs
    )
    if not pairs or not good:
        raise UserError(
            f"edges must be pairs of different keypoints from 0 to {num_keypoints - 1}, one pair at least"
        )
    return tuple((pair[0], pair[1]) for pair in pairs)


def read_prior(path: str | Path) -> PosePrior:
    """The poses in a `.npz` file, read without pickle; `UserError` says what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("points", "edges") if name not in file]
            if missing:
                raise UserError(f"'{path}' is not a pose prior: it has no array '{missing[0]}'")
            points, edges = file["points"], file["edges"]
            names = tuple(map(str, file["names"])) if "names" in file else ()
    except FileNotFoundError as error:
        raise UserError(f"there is no pose prior '{path}'") from error
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"'{path}' cannot be read as a pose prior, a .npz file: {reason}") from error
    if edges.dtype.kind not in "iu" or edges.ndim != 2:
        raise UserError(f"'{path}' is not a pose prior: edges must be whole numbers of shape (edges, 2)")
    try:
        return PosePrior(points, edges.tolist(), names)
    except UserError as error:
        raise UserError(f"'{path}' is not a pose prior: {error}") from error


def write_prior(path: str | Path, prior: PosePrior) -> None:
    """Write the file that `read_prior` reads, atomically."""
    names = {"names": np.array(prior.names)} if prior.names else {}
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, points=prior.points, edges=np.array(prior.edges), **names)  # type: ignore[arg-type]


def quarter_turns(poses: NDArray[np.float32], quarters: NDArray[np.int64]) -> NDArray[np.float32]:
    """Poses (N, K, 2) turned clockwise about the picture's middle by so many quarters (N,) each."""
    x, y = poses[..., 0], poses[..., 1]
    turned = np.stack([poses, np.stack([1 - y, x], -1), 1 - poses, np.stack([y, 1 - x], -1)])
    return turned[quarters % 4, np.arange(len(poses))]


def draw_skeleton(
    points: Tensor, edges: Sequence[tuple[int, int]], height: int, width: int, sigma: float
) -> Tensor:
    """β(p)_u = exp(−min over edges (i, j) and r in [0, 1] of ‖u − r·p_i − (1 − r)·p_j‖² / σ²).

    A Gaussian of every pixel's distance to the nearest segment (Jakab et al., 2020; 1/σ² is their γ).
    points: (N, K, 2), x and y in [0, 1]. sigma in pixels. Returns (N, 1, height, width) in (0, 1].
    """
    pixels = to_pixels(points, height, width)
    ends = torch.tensor(edges, device=points.device)
    start, along = pixels[:, ends[:, 0]], pixels[:, ends[:, 1]] - pixels[:, ends[:, 0]]  # (N, E, 2)
    columns = torch.arange(width, device=points.device, dtype=points.dtype)
    rows = torch.arange(height, device=points.device, dtype=points.dtype)[:, None]
    dx = columns - start[..., 0, None, None]  # (N, E, 1, W)
    dy = rows - start[..., 1, None, None]  # (N, E, H, 1)
    ax, ay = along[..., 0, None, None], along[..., 1, None, None]
    # A segment of no length is its start.
    share = ((dx * ax + dy * ay) / (ax**2 + ay**2).clamp(min=1e-6)).clamp(0.0, 1.0)
    squared = (dx - share * ax) ** 2 + (dy - share * ay) ** 2
    return torch.exp(-squared.amin(1, keepdim=True) / sigma**2)
