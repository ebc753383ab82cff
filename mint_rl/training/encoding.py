"""Episodes as keypoints: encoded once by a frozen encoder, and kept on disk.

A file of the cache holds the keypoints of one episode, with its moved copies if there are any. Its name is a
digest of all that decides them: the encoder's settings and weights, the pixels, the changes, the versions of
this package and of PyTorch. So nothing in the cache can be out of date; what is damaged or missing is
computed again. Files appear whole, so processes that encode the same episodes at once do no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mint_rl import __version__
from mint_rl.errors import UserError
from mint_rl.files import atomic_path, cache_folder, writable_folder
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.training.image_augmentation import random_colours

# To be counted up when the keypoints that come out of the same encoder and pixels change.
KEYPOINTS_VERSION = 1
CACHE_BYTES = 4 << 30  # beyond this, files that were not used for longest are removed
_SUFFIX = ".safetensors"


class Change(NamedTuple):
    """How the images of an episode are changed before they are encoded, all of them alike."""

    right: int = 0  # moved, by whole pixels
    down: int = 0
    colour: float = 0.0  # strength of `random_colours`
    colour_seed: int = 0  # which of them

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The changed images (T, H, W, C)."""
        generator = torch.Generator().manual_seed(self.colour_seed)
        coloured = random_colours(torch.from_numpy(images)[None], self.colour, generator)[0].numpy()
        return shifted(coloured, self.right, self.down)


class Encoding:
    """Keypoints of episodes by a frozen encoder, from the cache where they are in it.

    Args:
        encoder: The encoder; it has to stay as it is.
        descriptors: Whether its features at each keypoint are added.
        cache: The folder to keep them in; by default `mint-rl/keypoints` in the user's cache, and none where
            that cannot be written.

    Attributes:
        seconds: CPU seconds that encoding took, when it was done: those of episodes from the cache included,
            once each.

    Raises:
        UserError: The folder that was asked for cannot be written.
    """

    def __init__(
        self, encoder: KeypointEncoder, descriptors: bool = True, cache: str | Path | None = None
    ) -> None:
        self.encoder, self.descriptors = encoder, descriptors
        self.seconds = 0.0
        self._counted: set[Path | None] = set()
        self.folder: Path | None
        try:
            self.folder = writable_folder(cache or cache_folder("keypoints"), "--cache")
        except UserError:
            if cache is not None:
                raise
            self.folder = None
        self._encoder_key = fingerprint(encoder)

    def of(self, images: NDArray[np.uint8], changes: Sequence[Change] = (Change(),)) -> NDArray[np.float32]:
        """Keypoints (len(changes)·T, K, 3[+D]) of an episode (T, H, W, C), once for each change."""
        path = None if self.folder is None else self.folder / f"{self._key(images, changes)}{_SUFFIX}"
        found = None if path is None else _read(path)
        if found is None:
            found = self._encode(images, changes)
            if path is not None:
                _write(path, *found)
        keypoints, seconds = found
        if path is None or path not in self._counted:
            self.seconds += seconds
            self._counted.add(path)
        return keypoints

    def trim(self, limit: int = CACHE_BYTES) -> None:
        """Remove the files that were not used for longest, until the others take `limit` bytes at most."""
        if self.folder is None:
            return
        files = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            try:
                state = path.stat()
                files.append((state.st_mtime_ns, state.st_size, path))
            except OSError:  # another process removed it
                continue
        taken = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if taken <= limit:
                break
            path.unlink(missing_ok=True)
            taken -= size

    def _encode(
        self, images: NDArray[np.uint8], changes: Sequence[Change]
    ) -> tuple[NDArray[np.float32], float]:
        clock = time.process_time()
        parts = [
            self.encoder.read_video(change.apply(images), descriptors=self.descriptors) for change in changes
        ]
        return np.concatenate(parts), time.process_time() - clock

    def _key(self, images: NDArray[np.uint8], changes: Sequence[Change]) -> str:
        about = [
            KEYPOINTS_VERSION, __version__, torch.__version__, self._encoder_key, self.encoder.device.type,
            self.descriptors, images.shape, changes,
        ]  # fmt: skip
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(np.ascontiguousarray(images).data)
        return digest.hexdigest()[:40]


def fingerprint(encoder: KeypointEncoder) -> str:
    """A digest of an encoder's settings and weights."""
    settings = encoder.config.to_dict()
    if encoder.config.tracks is None:  # as before there were tracks
        settings = {name: value for name, value in settings.items() if name not in ("tracks", "reach")}
    digest = hashlib.sha256(json.dumps(settings).encode())
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def shifted(images: NDArray[np.uint8], right: int, down: int) -> NDArray[np.uint8]:
    """Images (T, H, W, C) moved by whole pixels; the border's pixels are repeated where nothing is left."""
    height, width = images.shape[1:3]
    rows = (np.arange(height) - down).clip(0, height - 1)
    columns = (np.arange(width) - right).clip(0, width - 1)
    return images[:, rows[:, None], columns]


def _read(path: Path) -> tuple[NDArray[np.float32], float] | None:
    """What `_write` wrote, or None if it is not there as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about: dict[str, str] = file.metadata() or {}
            keypoints: NDArray[Any] = file.get_tensor("keypoints")
        if keypoints.dtype != np.float32 or about["sha256"] != _digest(keypoints):
            return None
        seconds = float(about["seconds"])
        os.utime(path)  # it was used
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return keypoints, seconds


def _write(path: Path, keypoints: NDArray[np.float32], seconds: float) -> None:
    """Keep it if that is possible: a full disk is no reason to stop, since nothing is lost."""
    from safetensors.numpy import save

    about = {"seconds": repr(seconds), "sha256": _digest(keypoints)}
    try:
        with atomic_path(path, "--cache") as temporary:
            temporary.write_bytes(save({"keypoints": keypoints}, about))
    except (OSError, UserError):
        return


def _digest(keypoints: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(keypoints).data).hexdigest()
