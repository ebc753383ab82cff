"""What probes read: an encoder's keypoints with and without descriptors, and controls beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mint_rl.keypoints.controls import GridKeypoints
from mint_rl.keypoints.descriptors import crops_at
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.resize import resize_frames
from mint_rl.training.encoding import shifted

KEYPOINTS, DESCRIPTORS = "keypoints", "keypoints + descriptors"
RANDOM, RANDOM_THERE, GRID, PATCHES = (
    "random network",
    "keypoints + random descriptors",
    "descriptors on a grid",
    "keypoints + RGB patches",
)
_BATCH = 32
_GRID = 5  # places a side
_CELLS, _CELL = 3, 3  # an RGB patch is 3×3 means of 3×3 pixels
_WITH_IT = 1.5  # pixels: a keypoint that is nearer to where the frame's shift takes it has moved along

Nodes = NDArray[np.float32]  # (N, P, 3 + D): x, y in [0, 1], status, features


def encoder_inputs(encoder: KeypointEncoder, frames: NDArray[np.uint8]) -> dict[str, Nodes]:
    """The encoder's keypoints on frames (N, H, W, 3), without and with their descriptors."""
    found = encoder.encode(frames, descriptors=True)
    return {KEYPOINTS: found[..., :3], DESCRIPTORS: found}


def control_inputs(encoder: KeypointEncoder, frames: NDArray[np.uint8], seed: int) -> dict[str, Nodes]:
    """What the encoder's keypoints and descriptors have to beat.

    A network with random weights: all its own, and its descriptors at the encoder's keypoints; the encoder's
    descriptors on a fixed grid of 5×5 places; and, at its keypoints, patches of 9×9 pixels as 3×3 means.
    """
    random = random_encoder(encoder, frames, seed)
    poses = encoder.encode(frames)
    return {
        RANDOM: random.encode(frames, descriptors=True),
        RANDOM_THERE: _with_descriptors(random, frames, poses),
        GRID: _with_descriptors(encoder, frames, GridKeypoints(_GRID**2).encode(frames)),
        PATCHES: _with_patches(encoder, frames, poses),
    }


def random_encoder(encoder: KeypointEncoder, frames: NDArray[np.uint8], seed: int) -> KeypointEncoder:
    """An untrained encoder of the same settings, its BatchNorm fitted to the frames.

    No feature map of it is anywhere near γ: all its keypoints count as active.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = KeypointEncoder(dataclasses.replace(encoder.config, gamma=0.0, gate=None))
    for module in made.network:
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    chosen = frames[:: max(1, len(frames) // 256)]
    with torch.no_grad():
        made(torch.from_numpy(resize_frames(chosen, encoder.config.image_size)))
    return made.eval().requires_grad_(False)


def shift_change(encoder: KeypointEncoder, frames: NDArray[np.uint8], shift: int) -> tuple[float, float]:
    """What moving the frame by `shift` pixels, right or down, does to keypoints and their descriptors.

    Returns the share of active keypoints that move along, to 1.5 pixels, and stay active; and how much the
    descriptors of those change: root mean square over features of the change, each as a share of what it
    would be between two keypoints drawn at random. NaN where none is active.
    """
    frames = resize_frames(frames, encoder.config.image_size)
    height, width = encoder.config.image_size
    here = encoder.encode(frames, descriptors=True)
    active = here[..., 2] > 0.5
    if not active.any():
        return float("nan"), float("nan")
    usual = np.sqrt(2) * here[active][:, 3:].std(0) + 1e-6
    kept, changes = [], []
    for right, down in ((shift, 0), (0, shift)):
        there = encoder.encode(shifted(frames, right, down), descriptors=True)
        moved = (there[..., :2] - here[..., :2]) * [width - 1, height - 1] - [right, down]
        along = active & (there[..., 2] > 0.5) & (np.linalg.norm(moved, axis=-1) < _WITH_IT)
        kept.append(along.sum() / active.sum())
        changes.append(((there[along] - here[along])[:, 3:] / usual) ** 2)
    change = np.concatenate(changes)
    return float(np.mean(kept)), float(np.sqrt(change.mean())) if change.size else float("nan")


@torch.no_grad()
def _with_descriptors(encoder: KeypointEncoder, frames: NDArray[np.uint8], poses: Nodes) -> Nodes:
    parts = [
        torch.cat([places, encoder.describe(images, places[..., :2])], 2)
        for images, places in _batches(encoder, frames, poses)
    ]
    return torch.cat(parts).numpy()


@torch.no_grad()
def _with_patches(encoder: KeypointEncoder, frames: NDArray[np.uint8], poses: Nodes) -> Nodes:
    parts = []
    for images, places in _batches(encoder, frames, poses):
        crops = crops_at(encoder.normalise(images), places[..., :2], _CELLS * _CELL)
        means = functional.avg_pool2d(crops, _CELL).reshape(*places.shape[:2], -1)
        parts.append(torch.cat([places, means], 2))
    return torch.cat(parts).numpy()


def _batches(
    encoder: KeypointEncoder, frames: NDArray[np.uint8], poses: Nodes
) -> Iterator[tuple[Tensor, Tensor]]:
    images = torch.from_numpy(resize_frames(frames, encoder.config.image_size))
    for start in range(0, len(frames), _BATCH):
        batch = slice(start, start + _BATCH)
        yield images[batch], torch.from_numpy(poses[batch])
