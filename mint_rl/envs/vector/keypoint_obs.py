"""`KeypointObs` for vector environments: all of them are encoded together."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mint_rl.envs.image_observations import image_space, joined
from mint_rl.envs.keypoint_view import KeypointView, ViewOptions, check_renders, name_of
from mint_rl.errors import UserError

if TYPE_CHECKING:
    from mint_rl.keypoints.encoder import KeypointEncoder
    from mint_rl.keypoints.tracking import Tracker


class KeypointObs(VectorWrapper):
    """Replace the image observations of a vector environment by the keypoints that a frozen encoder finds.

    The vector twin of `mint_rl.KeypointObs`: the same arguments, and for each environment the same
    observation, but one call of the encoder for all of them. Under same-step autoreset the final observations
    in `infos["final_obs"]` are encoded in that call too.

    "box" gives arrays (N, K, 3), "dict" a dictionary of arrays, "graph" a tuple of N graphs. Environments
    whose observations are PyTorch tensors get tensors, which stay on the encoder's device.

    Example:
        >>> envs = gym.make_vec("magical/MoveToCorner-Demo-v0", num_envs=8)  # doctest: +SKIP
        >>> envs = mint_rl.envs.vector.KeypointObs(envs, encoder="magical")  # doctest: +SKIP
        >>> envs.reset(seed=0)[0].shape  # doctest: +SKIP
        (8, 25, 3)

    The specification of a vector environment holds no vector wrappers: after `gym.make_vec(envs.spec)`, wrap
    again. `gym.make_vec(KeypointObs(env).spec, num_envs=8)` makes environments that are each wrapped.

    Args:
        env: A vector environment, synchronous, asynchronous or of another kind.
        encoder, descriptors, format, coordinates, key, layout, source, pixels, device: As for the single one.

    Raises:
        UserError: As for the single one; and where the final pictures of episodes are not to be had, for
            source="render" under same-step autoreset.
    """

    def __init__(
        self,
        env: VectorEnv,
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
        super().__init__(env)
        options = ViewOptions(descriptors, format, coordinates, key, layout, source, pixels, device)
        picture = None
        if source == "render":
            if env.metadata.get("autoreset_mode") == AutoresetMode.SAME_STEP:
                raise _no_final_pictures(name_of(env))
            check_renders(env)
            env.reset()
            picture = (env.render() or (None,))[0]
        self.view = KeypointView(name_of(env), env.single_observation_space, picture, encoder, options)
        self._ended = np.zeros(self.num_envs, bool)  # where an episode ended in the last step
        self._keypoints: Any = None  # the last ones, of an encoder with tracks
        self.single_observation_space = self.view.space
        self.observation_space = self._batched_space()

    @property
    def encoder(self) -> KeypointEncoder:
        """The frozen encoder."""
        return self.view.encoder

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all environments, or those of options["reset_mask"]; keypoints of all their observations."""
        mask = (options or {}).get("reset_mask")  # before it is taken out of the options
        observations, infos = self.env.reset(seed=seed, options=options)
        images = self._images(observations)
        frames = self.view.frames(images)
        begun = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        self.view.begin(begun.tolist())
        self._ended[begun] = False
        if self._keypoints is None or mask is None:
            keypoints = self.view.keypoints(frames, self.view.trackers(range(self.num_envs)))
        else:  # the others have not gone on, and their tracks have seen these frames
            keypoints = copy.deepcopy(self._keypoints)
            keypoints[begun] = self.view.keypoints(frames[begun], self.view.trackers(begun.tolist()))
        self._keep(keypoints)
        return self._formatted(keypoints, observations, images), infos

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Step all environments; keypoints of their observations and of those that ended an episode."""
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        images = self._images(observations)
        frames = self.view.frames(images)
        final = infos.get("final_obs")
        final_images = [] if final is None else self._final_images(final)
        trackers = self._trackers(final, terminations, truncations) if self.view.tracked else []
        if len(final_images) == 0:
            keypoints = self.view.keypoints(frames, trackers[: self.num_envs])
        else:
            keypoints = self.view.keypoints(joined([frames, self.view.frames(final_images)]), trackers)
            final = self._formatted_final(keypoints[self.num_envs :], final, final_images)
            keypoints, infos = keypoints[: self.num_envs], {**infos, "final_obs": final}
        self._keep(keypoints)
        observations = self._formatted(keypoints, observations, images)
        return observations, rewards, terminations, truncations, infos

    def _keep(self, keypoints: Any) -> None:
        """Remember what an encoder with tracks gave: it cannot be asked for the same frame again."""
        if self.view.tracked:
            self._keypoints = copy.deepcopy(keypoints)

    def _trackers(self, final: Any, terminations: Any, truncations: Any) -> list[Tracker]:
        """For the frame of each environment after a step, and for the final ones beside them."""
        both = zip(terminations, truncations, strict=True)
        ended = np.array([bool(one) or bool(other) for one, other in both])
        mode = self.env.metadata.get("autoreset_mode")
        everywhere = range(self.num_envs)
        of_final: list[Tracker] = []
        if final is not None:
            shown = [row for row in everywhere if not _in_single_file(final) or final[row] is not None]
            # Some may be of episodes that go on, whose tracks must not see them.
            of_final = [
                self.view.trackers([row])[0] if ended[row] else self.encoder.tracker() for row in shown
            ]
        if final is not None or mode == AutoresetMode.SAME_STEP:
            self.view.begin(np.flatnonzero(ended).tolist())
        elif mode != AutoresetMode.DISABLED:
            self.view.begin(np.flatnonzero(self._ended).tolist())
        self._ended = ended
        return self.view.trackers(everywhere) + of_final

    def _images(self, observations: Any) -> Any:
        rendered = self.view.options.source == "render"
        return self.env.render() if rendered else self.view.image(observations)

    def _final_images(self, final: Any) -> Any:
        if self.view.options.source == "render":
            raise _no_final_pictures(name_of(self.env))
        if _in_single_file(final):
            return [self.view.image(observation) for observation in final if observation is not None]
        return self.view.image(final)

    def _formatted(self, keypoints: Any, observations: Any, images: Any) -> Any:
        if self.view.options.format == "graph":
            return tuple(self.view.formatted(nodes, None, None) for nodes in keypoints)
        if self.view.options.pixels and isinstance(images, tuple):
            images = np.stack(images)  # as they were rendered
        return self.view.formatted(keypoints, observations, images)

    def _formatted_final(self, keypoints: Any, final: Any, images: Any) -> Any:
        if not _in_single_file(final):
            return self._formatted(keypoints, final, images)
        result = np.full(len(final), None, dtype=object)
        ended = [row for row, observation in enumerate(final) if observation is not None]
        for row, nodes, image in zip(ended, keypoints, images, strict=True):
            result[row] = self.view.formatted(nodes, final[row], image)
        return result

    def _batched_space(self) -> spaces.Space[Any]:
        batched = batch_space(self.view.space, self.num_envs)
        if not isinstance(batched, spaces.Dict):
            return batched
        # What is passed through has its own bounds, which may differ from environment to environment.
        given, options = self.env.observation_space, self.view.options
        if options.source == "render":
            images = batch_space(self.view.image_space, self.num_envs)
        else:
            images = image_space(given, options.key, name_of(self.env))
        return spaces.Dict({**batched.spaces, **self.view.kept(given, images)})


def _in_single_file(final: Any) -> bool:
    """Whether final observations come one by one, None for episodes that go on, and not as a batch."""
    return isinstance(final, list | tuple) or (isinstance(final, np.ndarray) and final.dtype == object)


def _no_final_pictures(name: str) -> UserError:
    return UserError(
        f"source='render' cannot see how episodes of '{name}' end under same-step autoreset: choose "
        "autoreset_mode=AutoresetMode.NEXT_STEP, or wrap each environment with mint_rl.KeypointObs"
    )
