"""How keypoints are laid out as observations: as an array, a dictionary or a graph, and their spaces."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import create_shared_memory

from mint_rl.errors import UserError

FORMATS = ("box", "dict", "graph")
COORDINATES = ("unit", "centred", "pixels")
ACTIVE = 0.5  # a keypoint is active above this status


class KeypointGraph(spaces.Graph):
    """A `Graph` of keypoints, which says what to choose where a library cannot take graphs."""

    @property
    def spaces(self) -> NoReturn:
        """What Stable-Baselines3 looks for first; it would stumble over the missing shape otherwise."""
        raise UserError(
            "Stable-Baselines3 cannot take graphs: choose KeypointObs(env, format='box') or format='dict'"
        )


@create_shared_memory.register(KeypointGraph)
def _(space: KeypointGraph, *_: Any, **__: Any) -> NoReturn:
    raise UserError(
        "AsyncVectorEnv cannot hold graphs in shared memory: choose KeypointObs(env, format='box') or "
        "format='dict', or AsyncVectorEnv(..., shared_memory=False)"
    )


def keypoint_space(
    num_keypoints: int,
    descriptor_dim: int = 0,
    coordinates: str = "unit",
    size: tuple[int, int] = (96, 96),
    frames: int | None = None,
) -> spaces.Box:
    """The space of K keypoints: x, y, status in [0, 1], then D unbounded descriptor features.

    coordinates: bounds of x and y, see `place`; "pixels" are those of an image of `size`, height and width.
    frames: T for a stack. Returns a float32 Box (K, 3 + D) or (T, K, 3 + D).
    """
    height, width = size
    most = {"unit": (1, 1), "centred": (1, 1), "pixels": (width - 1, height - 1)}[coordinates]
    shape = (num_keypoints, 3 + descriptor_dim)
    low, high = np.zeros((2, *shape), np.float32)
    high[:, :3] = (*most, 1)
    if coordinates == "centred":
        low[:, :2] = -1
    low[:, 3:], high[:, 3:] = -np.inf, np.inf
    if frames is not None:
        low, high = (np.repeat(bound[None], frames, axis=0) for bound in (low, high))
    return spaces.Box(low, high, dtype=np.float32)


def place(keypoints: Any, coordinates: str, size: tuple[int, int]) -> Any:
    """Change x and y of keypoints (…, K, 3[+D]) from [0, 1] to other coordinates, in place.

    "unit" leaves them, "centred" makes them [−1, 1], and "pixels" columns 0 … W − 1 and rows 0 … H − 1 of an
    image of `size` (H, W); in all of them, both ends are the centres of the outermost pixels.
    """
    height, width = size
    if coordinates == "centred":
        keypoints[..., :2] *= 2
        keypoints[..., :2] -= 1
    elif coordinates == "pixels":
        keypoints[..., 0] *= width - 1
        keypoints[..., 1] *= height - 1
    return keypoints


def formatted_space(format: str, nodes: spaces.Box, kept: dict[str, spaces.Space[Any]]) -> spaces.Space[Any]:
    """The space of one observation of keypoints `nodes` and, in a dict, of what is kept beside them."""
    if format == "box":
        return nodes
    if format == "graph":
        return KeypointGraph(spaces.Box(nodes.low[0], nodes.high[0], dtype=np.float32), None)
    return spaces.Dict({"nodes": nodes, "mask": spaces.MultiBinary(list(nodes.shape[:-1])), **kept})


def formatted(format: str, keypoints: Any, kept: dict[str, Any]) -> Any:
    """One observation, or a batch of them where the format is not "graph", from keypoints (…, K, 3[+D])."""
    if format == "box":
        return keypoints
    if format == "graph":
        return spaces.GraphInstance(keypoints, None, None)
    active = keypoints[..., 2] > ACTIVE
    mask = active.astype(np.int8) if isinstance(active, np.ndarray) else active.char()  # int8, too
    return {"nodes": keypoints, "mask": mask, **kept}
