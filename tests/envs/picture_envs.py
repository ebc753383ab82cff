"""Small environments of a moving square, whose observations are its picture in every possible form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

ID = "test/Pictures-v0"
SIZE = (48, 48)


class Pictures(gym.Env[Any, int]):
    """A square that starts anywhere and moves right (action 0) or down; an episode ends after `length` steps.

    axes: of the image in the observation, "HWC" and so on; None observes the square's place instead.
    frames: T, where the axes have it. entries: the image is the entry "camera" of a Dict beside the place,
    "arm". lies: what the environment does with its image in its second step, against its space.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 20}  # noqa: RUF012  # as gymnasium has it
    action_space = spaces.Discrete(2)

    def __init__(
        self,
        axes: str | None = "HWC",
        size: Sequence[int] = SIZE,
        colours: int = 3,
        frames: int = 4,
        entries: bool = False,
        length: int = 5,
        lies: Any = None,
        render_mode: str | None = None,
    ) -> None:
        self.axes, self.size, self.length, self.lies = axes, tuple(size), length, lies
        self.colours, self.frames, self.entries, self.render_mode = colours, frames, entries, render_mode
        place = spaces.Box(0, max(size), (2,), np.float32)
        if axes is None:
            self.observation_space = place
        else:
            sides = {"H": self.size[0], "W": self.size[1], "C": colours, "T": frames}
            image = spaces.Box(0, 255, tuple(sides[axis] for axis in axes), np.uint8)
            self.observation_space = spaces.Dict({"camera": image, "arm": place}) if entries else image

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.np_random.integers(0, min(self.size) // 2, 2)
        self.steps = 0
        return self.observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place[int(action)] += 1
        self.steps += 1
        return self.observation(), 1.0, self.steps >= self.length, False, {}

    def render(self) -> Any:
        return self.lie(self.picture()) if self.render_mode == "rgb_array" else None

    def picture(self, shift: int = 0) -> np.ndarray:
        """(H, W, 3) uint8; `shift` pixels to the right."""
        x, y = self.place[0] + shift, self.place[1]
        picture = np.full((*self.size, 3), 200, np.uint8)
        picture[y : y + 12, x : x + 12] = (220, 30, 40)
        picture[y : y + 12 : 3, x : x + 6] = (20, 130, 240)
        return picture

    def lie(self, image: np.ndarray) -> Any:
        return self.lies(image) if self.lies is not None and self.steps == 2 else image

    def observation(self) -> Any:
        place = self.place.astype(np.float32)
        if self.axes is None:
            return place
        stack = np.stack([self.picture(shift) for shift in range(self.frames)])  # THWC
        if self.colours == 1 or "C" not in self.axes:
            stack = stack[..., :1]
        image = stack if "T" in self.axes else stack[:1]
        order = ["THWC".index(axis) for axis in self.axes]
        rest = [axis for axis in range(4) if axis not in order]
        image = np.ascontiguousarray(image.transpose(*order, *rest)).reshape(
            [image.shape[axis] for axis in order]
        )
        image = self.lie(image)
        return {"camera": image, "arm": place} if self.entries else image


class Many(VectorEnv[Any, Any, Any]):
    """A custom vector environment over `Pictures` with same-step autoreset; it may give tensors.

    final: its final observations come as a "batch" of all environments, or as a "list" with None.
    """

    def __init__(self, number: int = 3, tensors: bool = False, final: str = "batch") -> None:
        self.envs = [Pictures(length=3 + index) for index in range(number)]
        self.num_envs, self.tensors, self.final = number, tensors, final
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, number)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, number)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def _given(self, images: list[np.ndarray]) -> Any:
        if not self.tensors:
            return np.stack(images)
        import torch

        return torch.from_numpy(np.stack(images))

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self._given([env.reset(seed=seed + index)[0] for index, env in enumerate(self.envs)]), {}

    def step(self, actions: Any) -> Any:
        now, final, ended = [], [], np.zeros(self.num_envs, bool)
        for index, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            image, _, ended[index], _, _ = env.step(action)
            final.append(image)
            now.append(env.reset()[0] if ended[index] else image)
        infos: dict[str, Any] = {}
        if self.final == "batch" and ended.any():
            infos = {"final_obs": self._given(final), "_final_obs": ended}
        elif self.final == "list":
            infos = {"final_obs": [image if end else None for image, end in zip(final, ended, strict=True)]}
        return self._given(now), np.ones(self.num_envs), ended, np.zeros(self.num_envs, bool), infos


gym.register(ID, entry_point="picture_envs:Pictures")
