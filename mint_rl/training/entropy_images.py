"""Entropy images of videos: constants of a training run, computed once and kept where the frames are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl.data.videos.stored_array import StoredArray, store_array
from mint_rl.data.videos.video_set import Video
from mint_rl.keypoints.gate import entropy_image

# To be counted up when the numbers that preprocessing or entropy give for a frame change.
ENTROPY_VERSION = 1
_PIXELS_AT_ONCE = 2**21


def entropy_images(
    videos: Sequence[Video], preprocessing: str, region: int
) -> list[NDArray[np.float32] | StoredArray]:
    """The entropy (T, H, W) float32 of each video (T, H, W, C), in nats; see `entropy_image`.

    That of a video on disk is kept in a file beside it, for this run and later ones.
    """
    from tqdm import tqdm

    known = [_stored(video, preprocessing, region) for video in videos]
    missing = sum(len(video) for video, entropy in zip(videos, known, strict=True) if entropy is None)
    # A second of work is not worth a bar.
    pixels = missing * int(np.prod(videos[0].shape[1:3]))
    results: list[NDArray[np.float32] | StoredArray] = []
    with tqdm(total=missing, desc="entropy", unit="frame", disable=pixels < 2**25, mininterval=1.0) as bar:
        for video, entropy in zip(videos, known, strict=True):
            results.append(_compute(video, preprocessing, region) if entropy is None else entropy)
            if entropy is None:
                bar.update(len(video))
    return results


def _stored(video: Video, preprocessing: str, region: int) -> StoredArray | None:
    """What an earlier run left, if it is there and whole."""
    if not isinstance(video, StoredArray):
        return None
    try:
        found = StoredArray(_path(video, preprocessing, region))
    except (OSError, ValueError):
        return None
    return found if found.shape == video.shape[:3] and found.dtype == np.float32 else None


def _compute(video: Video, preprocessing: str, region: int) -> NDArray[np.float32] | StoredArray:
    parts = _parts(video, preprocessing, region)
    if not isinstance(video, StoredArray):
        return np.concatenate(list(parts))
    path = _path(video, preprocessing, region)
    store_array(path, parts)
    return StoredArray(path)


def _parts(video: Video, preprocessing: str, region: int) -> Iterator[NDArray[np.float32]]:
    """A few frames at a time: the preprocessing of colour frames takes many times their memory."""
    count = max(1, _PIXELS_AT_ONCE // int(np.prod(video.shape[1:3])))
    for start in range(0, len(video), count):
        frames = torch.from_numpy(video[start : start + count])
        yield entropy_image(frames, preprocessing, region).numpy()


def _path(video: StoredArray, preprocessing: str, region: int) -> Path:
    return video.path.with_name(f"{video.path.stem}-entropy{ENTROPY_VERSION}-{preprocessing}-{region}.npy")
