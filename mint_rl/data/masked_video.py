"""Videos in which every pixel's object is known: what keypoint metrics are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError


@dataclass(frozen=True, eq=False)
class MaskedVideo:
    """A video of T frames with instance masks. Raises `UserError` where its parts do not fit together."""

    name: str  # which data set or environment it belongs to: metrics are averaged by it
    frames: NDArray[np.uint8]  # (T, H, W, 3) RGB
    masks: NDArray[np.integer]  # (T, H', W') instance ids, of the same view; their size may be another
    objects: tuple[int, ...]  # the ids that are objects; 0 is background
    keypoint_area: float  # A_k of appendix D: pixels of the masks that one keypoint stands for
    actions: NDArray[np.int64] | None = None  # (T − 1,) what was done after each frame but the last, if known

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise UserError(
                f"the frames of a video of {self.name} are {self.frames.dtype} of shape {self.frames.shape}; "
                "they must be uint8 of shape (T, H, W, 3)"
            )
        if self.masks.ndim != 3 or len(self.masks) != len(self.frames) or len(self.frames) == 0:
            raise UserError(
                f"a video of {self.name} has frames of shape {self.frames.shape} and masks of shape "
                f"{self.masks.shape}; every frame needs one mask"
            )
        if self.actions is not None and self.actions.shape != (len(self.frames) - 1,):
            raise UserError(
                f"a video of {self.name} has {len(self.frames)} frames and actions of shape "
                f"{self.actions.shape}; there must be one between every two frames"
            )

    def __len__(self) -> int:
        return len(self.frames)
