"""`KeypointObs`: a gymnasium wrapper that turns image observations into keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mint_rl.errors import UserError

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder

_UNSAVED = "<a KeypointEncoder object>"


class KeypointObs(
    gym.ObservationWrapper[NDArray[np.float32], Any, NDArray[np.uint8]], gym.utils.RecordConstructorArgs
):
    """Replace an image observation by the keypoints that a frozen encoder finds in it.

    The observation becomes `Box((K, 3))` float32: x (rightwards) and y (downwards) in [0, 1] of the image and
    the status in [0, 1] of each of the K keypoints. With `descriptors=True` it is `Box((K, 3 + D))`: the
    encoder's own features, sampled at each keypoint, follow; they are not bounded. A policy that has to know
    how objects are turned needs them.

    Frames of another size than the encoder was trained on are resized by area averaging. The encoder runs in
    evaluation mode on the CPU; nothing that trains a policy on top of the wrapper can change it.

    Example:
        >>> env = gym.make("magical/MoveToCorner-Demo-v0")  # doctest: +SKIP
        >>> env = KeypointObs(env, encoder="magical", descriptors=True)  # doctest: +SKIP
        >>> env = gym.wrappers.FrameStackObservation(env, 4)  # doctest: +SKIP
        >>> env.observation_space.shape  # doctest: +SKIP
        (4, 25, 53)

    Args:
        env: An environment whose observations are uint8 images of shape (H, W, C).
        encoder: The name of a shipped encoder, a folder written by `KeypointEncoder.save_pretrained`, or a
            `KeypointEncoder`. `env.spec` remembers a name or a folder, so that `gym.make(env.spec)` rebuilds
            the wrapped environment; an encoder object has to be saved for that.
        descriptors: Append the D features sampled at each keypoint.

    Raises:
        UserError: The observations are not such images, or the encoder is unknown or unreadable.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        encoder: str | Path | KeypointEncoder = "magical",
        descriptors: bool = False,
    ) -> None:
        # First, and by name or folder: gymnasium deep-copies what is recorded and writes it to JSON.
        gym.utils.RecordConstructorArgs.__init__(self, encoder=_reference(encoder), descriptors=descriptors)
        gym.ObservationWrapper.__init__(self, env)
        from mint_rl.keypoints.pretrained import load_encoder  # imports torch

        if encoder == _UNSAVED:
            raise UserError(
                "this specification was made with a KeypointEncoder object, which it cannot hold: call "
                "encoder.save_pretrained(folder) and wrap with KeypointObs(env, encoder=folder)"
            )
        self.encoder = load_encoder(encoder)
        _check_images(env, self.encoder.config.in_channels)
        self.descriptors = descriptors
        self.observation_space = keypoint_space(  # type: ignore[assignment]  # gymnasium's Box is generic
            self.encoder.num_keypoints, self.encoder.descriptor_dim if descriptors else 0
        )

    def observation(self, observation: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Keypoints (K, 3) or (K, 3 + D), float32, of one frame (H, W, C), uint8."""
        keypoints: NDArray[np.float32] = self.encoder.encode(observation, descriptors=self.descriptors)
        return keypoints


def keypoint_space(num_keypoints: int, descriptor_dim: int = 0) -> spaces.Box:
    """The space of K keypoints (x, y, status in [0, 1]) followed by D unbounded descriptor features."""
    low = np.zeros((num_keypoints, 3 + descriptor_dim), np.float32)
    high = np.ones_like(low)
    low[:, 3:] = -np.inf
    high[:, 3:] = np.inf
    return spaces.Box(low, high, dtype=np.float32)


def _reference(encoder: str | Path | KeypointEncoder) -> str:
    """What a specification records: a shipped name as it is, a folder by its absolute path."""
    from mint_rl.keypoints.encoder_files import shipped_encoders

    if not isinstance(encoder, str | Path):
        return _UNSAVED
    if str(encoder) in shipped_encoders() or not Path(encoder).exists():
        return str(encoder)
    return str(Path(encoder).resolve())


def _check_images(env: gym.Env[Any, Any], channels: int) -> None:
    space = env.observation_space
    name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    needs = f"KeypointObs needs uint8 images of shape (height, width, {channels})"
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 4:
        raise UserError(
            f"{needs}, but '{name}' gives stacked frames of shape {space.shape}: "
            "wrap with KeypointObs first and with FrameStackObservation after it"
        )
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        raise UserError(
            f"{needs}, but '{name}' gives {_describe(space)}: make it observe its pictures first, for "
            "example with gymnasium.wrappers.AddRenderObservation(env)"
        )
    if space.dtype != np.uint8 or space.shape[2] != channels:
        raise UserError(
            f"{needs}, but '{name}' gives {_describe(space)}: convert it first, for example with "
            "gymnasium.wrappers.TransformObservation"
        )


def _describe(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Box):
        return f"{space.dtype} arrays of shape {space.shape}"
    return f"observations of type {type(space).__name__}"
