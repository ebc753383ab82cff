"""MAGICAL's tasks as gymnasium environments, headless."""

from __future__ import annotations

import operator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from mint_rl.envs.magical.canvas import RESOLUTIONS, SIZE, Canvas
from mint_rl.envs.magical.names import ACTION_NAMES, TABLE
from mint_rl.envs.magical.simulator import FRAMES_PER_SECOND, World
from mint_rl.envs.magical.state import MagicalState
from mint_rl.errors import UserError, unknown_name

VIEWS = ("allo", "ego", "both")
REWARDS = ("zero", "score")
SUCCESS = 1.0 - 1e-9

Image = npt.NDArray[np.uint8]
Observation = Image | dict[str, Image]


class MagicalEnv(gym.Env[Observation, int]):
    """One task and variant of MAGICAL (Toyer et al., 2020).

    >>> env = gym.make("magical/MoveToCorner-Demo-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape
    (96, 96, 3)

    task, variant: as in `names.VARIANTS`
    view:          "allo" sees the whole arena, "ego" looks along with the robot; the observation is an RGB image,
                   uint8 (resolution, resolution, 3). "both" gives a dict of the two
    resolution:    side length of the image in pixels, 384 or a divisor of it down to 24; smaller images are
                   exactly area averages of the one at 384
    render_mode:   None or "rgb_array"; `render()` gives the allocentric picture at 384×384
    reward:        "zero", as MAGICAL has it, or "score": the episode's score, with its last step

    Actions are 0 to 17, named in `names.ACTION_NAMES`. Every episode is truncated after `max_episode_steps` steps,
    and then `info` has `eval_score`, 0 to 1, and `success`, whether that is 1. `reset(seed)` and the actions decide
    everything: a seed below 2³² gives the scene that MAGICAL itself gives it, and a reset without one continues the
    random numbers of the last seed. Copies and pickles are made by replaying the episode.

    Raises `UserError` for arguments and actions that do not exist, and where MAGICAL is not installed.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}

    def __init__(
        self,
        task: str,
        variant: str = "Demo",
        view: str = "allo",
        resolution: int = 96,
        render_mode: str | None = None,
        reward: str = "zero",
    ) -> None:
        _check_arguments(view, resolution, render_mode, reward)
        self.world = World(task, variant)
        self.task, self.variant = task, variant
        self.view, self.resolution, self.render_mode, self.reward = view, resolution, render_mode, reward
        self.max_episode_steps = TABLE[task].max_episode_steps
        self.action_space = spaces.Discrete(len(ACTION_NAMES))  # type: ignore[assignment]
        image = spaces.Box(0, 255, (resolution, resolution, 3), np.uint8)
        self.observation_space = (
            spaces.Dict({"allo": image, "ego": image}) if view == "both" else image  # type: ignore[assignment]
        )
        drawn = ("allo", "ego") if view == "both" else (view,)
        self._canvases = {name: Canvas(resolution, self.world.viewer.background_rgb) for name in drawn}
        self._scene_seed: int | None = None
        self._actions: list[int] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is None or seed >= 2**32:
            seed = int(self.np_random.integers(2**32))
        self._begin(seed)
        return self._observe(), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        self._advance(_checked_action(action))
        truncated = len(self._actions) >= self.max_episode_steps
        info: dict[str, Any] = {}
        reward = 0.0
        if truncated:
            score = self.score()
            info = {"eval_score": score, "success": score >= SUCCESS}
            reward = score if self.reward == "score" else 0.0
        return self._observe(), reward, False, truncated, info

    def _begin(self, scene_seed: int) -> None:
        self._scene_seed = scene_seed
        self._actions = []
        self.world.reset(scene_seed)
        self._scene = self.world.scene()
        for canvas in self._canvases.values():
            canvas.show(self._scene)

    def _advance(self, action: int) -> None:
        if self._scene_seed is None or len(self._actions) >= self.max_episode_steps:
            raise UserError("the episode has ended or not begun: call reset() before step()")
        self._actions.append(action)
        self.world.step(action)

    def _observe(self) -> Observation:
        self.world.update_scene()
        images = {name: canvas.draw(self.world.camera(name)) for name, canvas in self._canvases.items()}
        return images if self.view == "both" else images[self.view]

    def render(self) -> Image | None:  # type: ignore[override]
        """The allocentric picture, RGB uint8 (384, 384, 3), or None without a render mode."""
        if self.render_mode is None:
            return None
        self._require_episode()
        if "allo" in self._canvases:
            return self._canvases["allo"].native()
        canvas = Canvas(SIZE, self.world.viewer.background_rgb)
        canvas.show(self._scene)
        self.world.update_scene()
        return canvas.draw(self.world.camera("allo"))

    def state(self) -> MagicalState:
        """The simulator's state now, which scripted experts act on."""
        self._require_episode()
        return self.world.state()

    def score(self) -> float:
        """The score, 0 to 1, that the episode would get if it ended now."""
        self._require_episode()
        return self.world.score()

    def instance_mask(self) -> Image:
        """Whose each pixel of the observation is: instance ids, uint8 (resolution, resolution).

        0 background, 1 robot, then blocks, then goal regions, named by `instance_names()`. Where an object covers a
        pixel in part, the pixel of the 384×384 picture just right of and below its middle decides (row 2, column 2
        of the 4×4 at 96×96). With view="both" the mask belongs to the allocentric image.
        """
        self._require_episode()
        return next(iter(self._canvases.values())).instance_ids()

    def instance_names(self) -> dict[int, str]:
        """The ids of `instance_mask` in this episode: {0: "background", 1: "robot", 2: "red square", …}."""
        self._require_episode()
        return self.world.instance_names()

    def _require_episode(self) -> None:
        if self._scene_seed is None:
            raise UserError("no episode has begun: call reset() first")


def _check_arguments(view: str, resolution: int, render_mode: str | None, reward: str) -> None:
    if view not in VIEWS:
        raise unknown_name("view", str(view), VIEWS)
    if resolution not in RESOLUTIONS:
        raise UserError(f"resolution is {resolution!r} but must be one of {', '.join(map(str, RESOLUTIONS))}")
    if render_mode not in (None, "rgb_array"):
        raise unknown_name("render_mode", str(render_mode), ("rgb_array", "None"))
    if reward not in REWARDS:
        raise unknown_name("reward", str(reward), REWARDS)


def _checked_action(action: Any) -> int:
    try:
        number = operator.index(action)
    except TypeError:
        number = -1
    if not 0 <= number < len(ACTION_NAMES):
        raise UserError(f"action is {action!r} but must be an integer from 0 to {len(ACTION_NAMES) - 1}")
    return number
