"""MAGICAL's tasks as gymnasium environments, headless."""

from __future__ import annotations

import operator
from typing import Any

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

    >>> import gymnasium as gym, mint_rl.envs.magical
    >>> env = gym.make("magical/MoveToCorner-Demo-v0")
    >>> observation, info = env.reset(seed=0)
    >>> observation.shape
    (96, 96, 3)

    task, variant: as in `names.VARIANTS`
    view:          "allo" sees the whole arena, "ego" looks along with the robot; the observation is an RGB
                   image, uint8 (resolution, resolution, 3). "both" gives a dict of the two
    resolution:    side of the image in pixels: 384, or a divisor of it down to 24; smaller images are exactly
                   the area average of the one at 384
    render_mode:   None or "rgb_array": `render()` gives the allocentric picture at 384×384
    reward:        "zero", as MAGICAL has it, or "score": the last step's reward is the episode's score

    Actions are 0 to 17, named in `names.ACTION_NAMES`. Every episode is truncated after `max_episode_steps`
    steps; then, and only then, `info` has `eval_score`, 0 to 1, and `success`, whether that is 1.

    `reset(seed)` and the actions decide everything. A seed below 2³² gives the scene that MAGICAL gives it; a
    reset without a seed draws one from the random numbers that the last seed began.
    Copies and pickles work: they hold the seed and the actions, and are made again by replaying them.

    Raises `UserError` for arguments and actions that do not exist, and where MAGICAL is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012

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
        self.task, self.variant = task, variant
        self.view, self.resolution, self.render_mode, self.reward = view, resolution, render_mode, reward
        self._build()
        self.max_episode_steps = TABLE[task].max_episode_steps
        self.action_space = spaces.Discrete(len(ACTION_NAMES))  # type: ignore[assignment]
        image = spaces.Box(0, 255, (resolution, resolution, 3), np.uint8)
        self.observation_space = (
            spaces.Dict({"allo": image, "ego": image}) if view == "both" else image  # type: ignore[assignment]
        )
        self._scene_seed: int | None = None
        self._actions: list[int] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode. Returns the first observation and an empty info; `options` are not used."""
        super().reset(seed=seed)
        if seed is None or seed >= 2**32:
            seed = int(self.np_random.integers(2**32))
        self._begin(seed)
        return self._observe(), {}

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Act for 1/8 s. Returns observation, reward, False, whether this was the last step, and info."""
        self._advance(_checked_action(action))
        truncated = len(self._actions) >= self.max_episode_steps
        reward = 0.0
        info: dict[str, Any] = {}
        if truncated:
            score = self.score()
            info = {"eval_score": score, "success": score >= SUCCESS}
            reward = score if self.reward == "score" else 0.0
        return self._observe(), reward, False, truncated, info

    def render(self) -> Image | None:
        """The allocentric picture, RGB uint8 (384, 384, 3); None if the environment has no render mode."""
        self._require_episode()
        if self.render_mode is None:
            return None
        if "allo" in self._canvases:
            return self._canvases["allo"].native()
        canvas = Canvas(SIZE, self.world.background_rgb)
        canvas.show(self._scene)
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

        0 background, 1 robot, then blocks, then goal regions; `instance_names()` names them. Of the square of
        pixels that one pixel averages, the one just right of and below the middle decides: row 2, column 2 of
        the 4×4 at 96×96. With view="both" the mask belongs to the allocentric image.
        """
        self._require_episode()
        return next(iter(self._canvases.values())).instance_ids()

    def instance_names(self) -> dict[int, str]:
        """The ids of `instance_mask` in this episode: {0: "background", 1: "robot", 2: "red square", …}."""
        self._require_episode()
        return self.world.instance_names()

    def _build(self) -> None:
        self.world = World(self.task, self.variant)
        views = ("allo", "ego") if self.view == "both" else (self.view,)
        self._canvases = {view: Canvas(self.resolution, self.world.background_rgb) for view in views}

    def _begin(self, scene_seed: int) -> None:
        self._scene_seed = scene_seed
        self._actions = []
        self.world.reset(scene_seed)
        self._scene = self.world.scene()
        for canvas in self._canvases.values():
            canvas.show(self._scene)

    def _advance(self, action: int) -> None:
        self._require_episode()
        if len(self._actions) >= self.max_episode_steps:
            raise UserError(
                f"the episode ended after {self.max_episode_steps} steps: call reset() before step()"
            )
        self._actions.append(action)
        self.world.step(action)

    def _observe(self) -> Observation:
        self.world.move_scene()
        images = {view: canvas.draw(self.world.camera(view)) for view, canvas in self._canvases.items()}
        return images if self.view == "both" else images[self.view]

    def _require_episode(self) -> None:
        if self._scene_seed is None:
            raise UserError("no episode has begun: call reset() first")

    def __getstate__(self) -> dict[str, Any]:
        # The physics engine cannot be copied, but it is deterministic: seed and actions stand for its state.
        return {
            name: value for name, value in vars(self).items() if name not in ("world", "_canvases", "_scene")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._build()
        if self._scene_seed is not None:
            actions = self._actions
            self._begin(self._scene_seed)
            for action in actions:
                self._advance(action)
            self._observe()


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
