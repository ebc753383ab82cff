"""What `KeypointObs` does, for one environment or many: from their observations to their keypoints."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from mint_rl.envs.image_observations import check_channels, frames_of, image_layout, image_space
from mint_rl.envs.keypoint_formats import (
    COORDINATES,
    FORMATS,
    formatted,
    formatted_space,
    keypoint_space,
    place,
)
from mint_rl.errors import UserError, unknown_name

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder
    from mint_rl.keypoints.tracking import Tracker

SOURCES = ("observation", "render")
PIXELS = "pixels"  # the entry that passes the image through, where it had no name of its own
STATE = "state"  # the entry of an observation that is no Dict, beside the keypoints of rendered pictures
UNSAVED = "<a KeypointEncoder object>"
# Feature maps of so many frames fit well into the caches of a CPU, or the memory of a GPU.
_CPU_BATCH, _GPU_BATCH = 8, 1024


@dataclass(frozen=True)
class ViewOptions:
    """The options of `KeypointObs`, explained there. Raises `UserError` for those that cannot be."""

    descriptors: bool = False
    format: str = "box"
    coordinates: str = "unit"
    key: str | None = None
    layout: str | None = None
    source: str = "observation"
    pixels: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("coordinates", COORDINATES), ("source", SOURCES)):
            if getattr(self, name) not in known:
                raise unknown_name(name, str(getattr(self, name)), known)
        if self.pixels and self.format != "dict":
            raise UserError(
                f"pixels=True has no place in format={self.format!r}: choose format='dict', where the image "
                "stands beside the keypoints"
            )
        if self.source == "render" and self.key is not None:
            raise UserError(
                f"source='render' takes rendered pictures, not the entry {self.key!r} of the observations: "
                "leave out one of source and key"
            )


class KeypointView:
    """Turns observations of one layout into keypoints of one format.

    owner: the environment's name. observations: the space of one observation. picture: what rendering gives,
    for source="render". Raises `UserError` for what has no images or cannot be laid out as asked.
    """

    def __init__(
        self,
        owner: str,
        observations: spaces.Space[Any],
        picture: Any,
        encoder: str | Path | KeypointEncoder,
        options: ViewOptions,
    ) -> None:
        self.options = options
        self.encoder = _load(encoder, options.device)
        self.image_space = (
            _picture_space(picture, owner)
            if options.source == "render"
            else image_space(observations, options.key, owner)
        )
        self.layout = image_layout(self.image_space, owner, options.layout)
        check_channels(self.layout, self.encoder.config.in_channels)
        if options.format == "graph" and self.layout.frames is not None:
            raise UserError(
                f"'{owner}' gives stacks of frames, which format='graph' cannot hold: choose format='box' or "
                "format='dict', or stack after KeypointObs"
            )
        self._trackers: dict[int, Tracker] = {}
        if self.tracked and self.layout.frames is not None:
            raise UserError(
                f"'{owner}' gives stacks of frames, of which tracks would see each several times: stack "
                "after KeypointObs, or read frames for themselves, as with 'magical-tracking:tracks=none'"
            )
        height, width = self.encoder.config.image_size
        if abs(self.layout.size[1] / self.layout.size[0] * height / width - 1) > 0.01:
            _say_squeezed(owner, self.layout.size, (height, width))
        self.nodes = keypoint_space(
            self.encoder.num_video_keypoints,
            self.encoder.descriptor_dim if options.descriptors else 0,
            options.coordinates,
            self.layout.size,
            self.layout.frames,
        )
        kept = self.kept(observations, self.image_space)
        _check_names(kept, observations, options, owner)
        self.space = formatted_space(options.format, self.nodes, kept)

    def image(self, observation: Any) -> Any:
        """The image in an observation, or the images in a batch of them; `UserError` if it is not there."""
        key = self.options.key
        if key is None:
            return observation
        if not isinstance(observation, Mapping) or key not in observation:
            raise UserError(f"'{self.layout.owner}' gave an observation without the entry {key!r}")
        return observation[key]

    def frames(self, images: Any) -> Any:
        """Frames (N·T, H, W, C), uint8, of the images of N observations; see `frames_of`."""
        return frames_of(images, self.layout, self.encoder.config.in_channels)

    def begin(self, videos: Iterable[int] | None = None) -> None:
        """The next frames of these environments, or of all, begin episodes: their tracks are forgotten."""
        for video in list(self._trackers) if videos is None else videos:
            self._trackers.pop(video, None)

    @property
    def tracked(self) -> bool:
        """Whether the encoder has tracks, so that it matters which episode a frame is of."""
        return self.encoder.config.tracks is not None

    def trackers(self, videos: Iterable[int]) -> list[Tracker]:
        """The trackers of these environments' episodes; none for an encoder without tracks."""
        if not self.tracked:
            return []
        wanted = list(videos)
        self._trackers |= {video: self.encoder.tracker() for video in wanted if video not in self._trackers}
        return [self._trackers[video] for video in wanted]

    def keypoints(self, frames: Any, trackers: Sequence[Tracker] = ()) -> Any:
        """Keypoints (N, [T,] K, 3[+D]), float32, of N·T frames, in the coordinates asked for.

        trackers: as `trackers` gives them, one a frame. An array for an array; for a PyTorch tensor a tensor,
        where the encoder is.
        """
        descriptors = self.options.descriptors
        batch = _CPU_BATCH if self.encoder.device.type == "cpu" else _GPU_BATCH
        if trackers:
            from mint_rl.keypoints.tracking import follow

            found: Any = follow(self.encoder, frames, trackers, descriptors, batch)
            if not isinstance(frames, np.ndarray):
                import torch

                found = torch.from_numpy(found).to(self.encoder.device)
        elif isinstance(frames, np.ndarray):
            found = self.encoder.encode(frames, descriptors, batch)
        else:
            from mint_rl.keypoints.tensor_frames import encode_tensor

            found = encode_tensor(self.encoder, frames, descriptors, batch)
        return place(found.reshape(-1, *self.nodes.shape), self.options.coordinates, self.layout.size)

    def kept(self, observation: Any, images: Any) -> dict[str, Any]:
        """What stands beside the keypoints in a dict, of an observation, of a batch, or of their spaces."""
        options = self.options
        if options.format != "dict":
            return {}
        if isinstance(observation, Mapping):  # as the space Dict is one
            kept = {name: entry for name, entry in observation.items() if name != options.key}
        else:
            kept = {STATE: observation} if options.source == "render" else {}
        if options.pixels:
            kept[options.key or PIXELS] = images
        return kept

    def formatted(self, keypoints: Any, observation: Any, images: Any) -> Any:
        """Keypoints of one observation, or of a batch but for graphs, with what is kept beside them."""
        return formatted(self.options.format, keypoints, self.kept(observation, images))


def name_of(env: gym.Env[Any, Any] | gym.vector.VectorEnv) -> str:
    """What errors call an environment: its id, or else its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def check_renders(env: gym.Env[Any, Any] | gym.vector.VectorEnv) -> None:
    """`UserError` unless the environment renders pictures."""
    if env.render_mode != "rgb_array":
        raise UserError(
            f"source='render' needs the pictures of '{name_of(env)}', whose render_mode is "
            f"{env.render_mode!r}: make it with render_mode='rgb_array'"
        )


def _load(encoder: str | Path | KeypointEncoder, device: str | None) -> KeypointEncoder:
    from mint_rl.keypoints.inference_settings import load_with_settings  # imports torch
    from mint_rl.keypoints.pretrained import load_encoder

    if encoder == UNSAVED:
        raise UserError(
            "this specification was made with a KeypointEncoder object, which it cannot hold: call "
            "encoder.save_pretrained(folder) and wrap with KeypointObs(env, encoder=folder)"
        )
    loaded = load_with_settings(encoder) if isinstance(encoder, str) else load_encoder(encoder)
    if device is None:
        return loaded
    try:
        return loaded.to(device)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts that it has it
        raise UserError(
            f"the encoder cannot be brought to device {device!r}, choose device='cpu': "
            f"{str(error).splitlines()[0]}"
        ) from error


def _picture_space(picture: Any, owner: str) -> spaces.Box:
    if not isinstance(picture, np.ndarray):
        raise UserError(
            f"source='render' needs pictures, but '{owner}' renders {type(picture).__name__}: see that its "
            "render() returns uint8 arrays of shape (height, width, 3)"
        )
    if picture.dtype != np.uint8:
        raise UserError(f"'{owner}' renders {picture.dtype} pictures; images are uint8, from 0 to 255")
    return spaces.Box(0, 255, picture.shape, np.uint8)


def _check_names(
    kept: Mapping[str, Any], observations: spaces.Space[Any], options: ViewOptions, owner: str
) -> None:
    """`UserError` if an entry of the dict would hide one of the environment's."""
    taken = [name for name in ("nodes", "mask") if name in kept]
    has_pixels = isinstance(observations, spaces.Dict) and PIXELS in observations.spaces
    if options.pixels and options.key is None and has_pixels:
        taken.append(PIXELS)
    if taken:
        raise UserError(
            f"'{owner}' has an entry {taken[0]!r} of its own, whose name KeypointObs needs: rename it first, "
            "with gymnasium.wrappers.TransformObservation"
        )


@functools.cache
def _say_squeezed(owner: str, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Once for each environment, however many copies of it there are."""
    warnings.warn(
        f"KeypointObs squeezes the {size[0]}×{size[1]} images of '{owner}' to the encoder's {wanted[0]}×"
        f"{wanted[1]}, another aspect ratio: crop them first, or train an encoder on them as they are, "
        f"mint-rl pretrain --env {owner}",
        stacklevel=4,
    )
