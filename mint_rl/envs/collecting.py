"""Videos of any environment, to learn keypoints from: somebody acts, and the pictures are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from mint_rl.data.videos.video_set import default_size
from mint_rl.envs.image_observations import frames_of, image_layout
from mint_rl.errors import UserError
from mint_rl.resize import resize_frames

Behaviour = Callable[[Any], Any]  # from an observation to an action
Progress = Callable[[int, int], None]  # called with (frames so far, wanted)

EPISODE_FRAMES = 200  # of an episode at most, unless told: a long one is not to be everything
# Random actions are held for 1 to this many steps: others every step cancel out, and little moves.
_LONGEST_HOLD = 8
_PATIENCE = 50  # episodes in a row that end before their second frame


def make_env(name: str) -> gym.Env[Any, Any]:
    """An environment that renders pictures where it can: a gymnasium id, or a MAGICAL task such as MakeLine.

    Raises `UserError` for unknown ids, and where a package that the environment needs is missing.
    """
    import mint_rl.envs.magical  # noqa: F401  # registers its ids
    from mint_rl.envs.magical.names import TASKS, env_id, parse_env_id

    if name.split("-")[0] in TASKS:
        name = env_id(*parse_env_id(name))
    try:
        try:
            return gym.make(name, render_mode="rgb_array")
        except TypeError:  # it takes no render mode: its observations may be pictures
            return gym.make(name)
    except (gym.error.Error, ImportError) as error:
        raise UserError(f"cannot make the environment '{name}': {_first_line(error)}") from error


def collect_videos(
    env: gym.Env[Any, Any],
    frames: int = 2000,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    behaviour: Behaviour | None = None,
    episode_frames: int | None = None,
    stride: int = 1,
    progress: Progress | None = None,
) -> list[NDArray[np.uint8]]:
    """Videos (T, height, width, 3) of an environment's episodes, as `KeypointObs` would show its pictures.

    The picture is the observation, or the one image in a Dict, or else what `render()` gives; of a stack the
    newest frame. Episode i is reset with seed + i.

    Args:
        env: The environment, made with `render_mode="rgb_array"` unless it observes pictures.
        frames: Episodes are played until there are at least so many frames.
        size: Height and width, by area averaging; by default the shape as it is, but small (`default_size`).
        seed: Of the episodes and the random actions.
        behaviour: From an observation to an action, say `lambda seen: model.predict(seen)[0]`; by default
            random actions, each held for up to eight steps.
        episode_frames: An episode is cut after so many; by default 200.
        stride: Keep every so-manieth frame.
        progress: Called with the number of frames so far and that wanted.

    Raises:
        UserError: There are no pictures, nothing ever moves in them, or episodes end before their second
            frame.
    """
    picture = _pictures(env)
    held = _HeldActions(env.action_space, seed) if behaviour is None else behaviour
    longest = EPISODE_FRAMES if episode_frames is None else episode_frames
    videos: list[NDArray[np.uint8]] = []
    collected = episode = in_vain = 0
    while collected < frames:
        observation, _ = env.reset(seed=seed + episode)
        episode += 1
        video: list[NDArray[np.uint8]] = []
        step, ended = 0, False
        while not ended and len(video) < longest:
            if step % stride == 0:
                frame = picture(observation)
                size = size or default_size(*frame.shape[1:3])
                video.append(resize_frames(frame, size))
            observation, _, terminated, truncated, _ = env.step(held(observation))
            ended = terminated or truncated
            step += 1
        if len(video) < 2:
            in_vain += 1
            if in_vain == _PATIENCE:
                raise UserError(
                    f"{in_vain} episodes in a row ended before their second frame: lower the stride"
                )
            continue
        in_vain = 0
        videos.append(np.concatenate(video))
        collected += len(video)
        if progress is not None:
            progress(min(collected, frames), frames)
    if all((video == video[:1]).all() for video in videos):
        raise UserError("nothing moves in these pictures: keypoints are learned from what moves")
    return videos


def write_videos(folder: Path, videos: Sequence[NDArray[np.uint8]]) -> None:
    """Write videos as folders of PNG images, which `mint-rl pretrain --data <folder>` reads again.

    What the folder held before is removed. Raises `UserError` if it cannot be written.
    """
    import cv2

    from mint_rl.files import writable_folder

    shutil.rmtree(folder, ignore_errors=True)
    for number, video in enumerate(videos):
        episode = writable_folder(folder / f"episode-{number:03d}")
        for step, frame in enumerate(video):
            if not cv2.imwrite(str(episode / f"{step:05d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
                raise UserError(f"cannot write frames to '{episode}': is the disk full?")


class _HeldActions:
    """Random actions, each held for some steps."""

    def __init__(self, space: spaces.Space[Any], seed: int) -> None:
        self.space = space
        self.space.seed(seed)
        self.rng = np.random.default_rng(seed)
        self.left = 0
        self.action: Any = None

    def __call__(self, observation: Any) -> Any:
        if self.left == 0:
            self.action = self.space.sample()
            self.left = int(self.rng.integers(1, _LONGEST_HOLD + 1))
        self.left -= 1
        return self.action


def _pictures(env: gym.Env[Any, Any]) -> Callable[[Any], NDArray[np.uint8]]:
    """A function from an observation to the picture of now, (1, H, W, 3)."""
    name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
    key, image = _image_space(env.observation_space)
    if image is not None:
        layout = image_layout(image, name)
        newest = slice(-1, None)
        return lambda seen: frames_of((seen if key is None else seen[key])[None], layout, 3)[newest]
    if env.render_mode != "rgb_array":
        raise UserError(
            f"'{name}' neither observes pictures nor renders them: make it with render_mode='rgb_array'"
        )

    def rendered(_: Any) -> NDArray[np.uint8]:
        try:
            frame = env.render()
        except (gym.error.Error, ImportError) as error:
            raise UserError(f"'{name}' cannot render: {_first_line(error)}") from error
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
            raise UserError(
                f"'{name}' renders {type(frame).__name__}, not a uint8 picture (height, width, 3)"
            )
        return frame[None]

    return rendered


def _image_space(space: spaces.Space[Any]) -> tuple[str | None, spaces.Space[Any] | None]:
    """The entry that is the image and its space; (None, None) where there is none, or more than one."""
    entries = space.spaces if isinstance(space, spaces.Dict) else {None: space}
    images = [
        (key, part)
        for key, part in entries.items()
        if isinstance(part, spaces.Box) and part.dtype == np.uint8 and len(part.shape) >= 2
    ]
    return images[0] if len(images) == 1 else (None, None)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
