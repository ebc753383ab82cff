"""`KeypointObs`: a gymnasium wrapper that turns image observations into keypoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from mint_rl.envs.keypoint_formats import keypoint_space
from mint_rl.envs.keypoint_view import UNSAVED, KeypointView, ViewOptions, check_renders, name_of

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder

__all__ = ["KeypointObs", "keypoint_space"]


class KeypointObs(gym.ObservationWrapper[Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Replace an image observation by the keypoints that a frozen encoder finds in it.

    The observation becomes `Box((K, 3))` float32: x (rightwards) and y (downwards) in [0, 1] of the image and
    the status in [0, 1] of each of the K keypoints, which is active above 0.5. With `descriptors=True` it is
    `Box((K, 3 + D))`: the encoder's own features, sampled at each keypoint, follow; they are not bounded. A
    policy that has to know how objects are turned needs them.

    An encoder with tracks, such as "magical-tracking", follows its keypoints through an episode: they are
    what `KeypointEncoder.read_video` gives for the frames since the last `reset`, and K is the number of its
    tracks. Any other encoder reads every frame for itself.

    Images may have any size, rows or colours first, be grey or colour, single or stacked. Another size than
    the encoder was trained on is resized by area averaging, as in training. The encoder runs in evaluation
    mode; nothing that trains a policy on top of the wrapper can change it.

    Example:
        >>> env = gym.make("magical/MoveToCorner-Demo-v0")  # doctest: +SKIP
        >>> env = KeypointObs(env, encoder="magical", descriptors=True)  # doctest: +SKIP
        >>> env = gym.wrappers.FrameStackObservation(env, 4)  # doctest: +SKIP
        >>> env.observation_space.shape  # doctest: +SKIP
        (4, 25, 53)

    For many environments at once, `mint_rl.envs.vector.KeypointObs` wraps a vector environment.

    Args:
        env: An environment that observes uint8 images, or that renders them (`source="render"`).
        encoder: The name of a shipped encoder, a folder written by `KeypointEncoder.save_pretrained` or a hub
            id, each perhaps with settings as in "magical:gamma=12", or a `KeypointEncoder`. `env.spec`
            remembers a name or a folder, so that `gym.make(env.spec)` rebuilds the wrapped environment; an
            encoder object has to be saved for that.
        descriptors: Append the D features sampled at each keypoint.
        format: "box" is the array alone; "dict" has it as "nodes", a "mask" (K,) of the active keypoints, and
            all that the observation held beside the image; "graph" is a `spaces.Graph` of K nodes without
            edges. A stack of T frames gives arrays (T, K, …) in "box" and "dict".
        coordinates: x and y in "unit" [0, 1], "centred" [−1, 1] or "pixels" of the observed image, columns 0
            to W − 1 and rows 0 to H − 1: both ends are the centres of the outermost pixels.
        key: The entry of a Dict observation that is the image.
        layout: The axes of the image by letters, T frames, H rows, W columns, C colours, where the shape does
            not tell them: "HWT" for grey frames stacked in the last axis. By default the shape tells.
        source: "observation", or "render" for the pictures of an environment made with
            `render_mode="rgb_array"`; in a dict its own observation is kept, as "state" unless it is a Dict.
        pixels: In a dict, pass the image through too, under its own key or as "pixels".
        device: Where the encoder works, such as "cuda"; by default where it is, the CPU for a name. An
            encoder object is moved there.

    Raises:
        UserError: There are no such images, an argument cannot be, or the encoder is unknown or unreadable;
            from `reset` and `step`, the environment gave another image than its space promises.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        encoder: str | Path | KeypointEncoder = "magical",
        descriptors: bool = False,
        *,
        format: str = "box",
        coordinates: str = "unit",
        key: str | None = None,
        layout: str | None = None,
        source: str = "observation",
        pixels: bool = False,
        device: str | None = None,
    ) -> None:
        options = ViewOptions(descriptors, format, coordinates, key, layout, source, pixels, device)
        # First, and by name or folder: gymnasium deep-copies what is recorded and writes it to JSON.
        gym.utils.RecordConstructorArgs.__init__(
            self, encoder=_reference(encoder), **dataclasses.asdict(options)
        )
        gym.ObservationWrapper.__init__(self, env)
        picture = None
        if source == "render":
            check_renders(env)
            env.reset()
            picture = env.render()
        self.view = KeypointView(name_of(env), env.observation_space, picture, encoder, options)
        self.observation_space = self.view.space
        self._ended = False

    @property
    def encoder(self) -> KeypointEncoder:
        """The frozen encoder."""
        return self.view.encoder

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; keypoints of its first observation, where an encoder's tracks begin."""
        self.view.begin()
        self._ended = False
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment; keypoints of its observation."""
        if self._ended:  # and was reset by a wrapper further in
            self.view.begin()
        observation, reward, terminated, truncated, info = super().step(action)
        self._ended = terminated or truncated
        return observation, reward, terminated, truncated, info

    def observation(self, observation: Any) -> Any:
        """The keypoints of one observation, in the format asked for: the next of the episode's."""
        view = self.view
        image = self.env.render() if view.options.source == "render" else view.image(observation)
        keypoints = view.keypoints(view.frames([image]), view.trackers([0]))
        return view.formatted(keypoints[0], observation, image)


def _reference(encoder: str | Path | KeypointEncoder) -> str:
    """What a specification records: a shipped name or a hub id as it is, a folder by its absolute path."""
    from mint_rl.keypoints.encoder_files import shipped_encoders
    from mint_rl.keypoints.inference_settings import source_of

    if not isinstance(encoder, str | Path):
        return UNSAVED
    source = source_of(str(encoder))
    if source in shipped_encoders() or not Path(source).exists():
        return str(encoder)
    return f"{Path(source).resolve()}{str(encoder)[len(source) :]}"
