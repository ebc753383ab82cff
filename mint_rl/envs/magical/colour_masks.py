"""Masks of recorded demonstrations, by colour: for people's demonstrations, whose simulator is not at hand.

MAGICAL paints the robot's body and every block in one flat colour each. In the Demo scenes of MoveToCorner,
MoveToRegion and MakeLine no two blocks share a colour, so a colour is an object. Fingers are as pale as the
arena's border: they count as background here, unlike in the simulator's masks.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mint_rl.data.demonstrations import DemonstrationSet
from mint_rl.data.masked_video import MaskedVideo
from mint_rl.envs.magical.env import MagicalEnv
from mint_rl.envs.magical.masked_videos import keypoint_area
from mint_rl.envs.magical.names import parse_env_id
from mint_rl.errors import UserError

# As drawn, RGB.
_BLOCKS = {
    "red": (245, 129, 165),
    "green": (195, 208, 130),
    "blue": (135, 185, 211),
    "yellow": (254, 213, 123),
}
_REGIONS = {
    "red": (250, 190, 209),
    "green": (224, 231, 191),
    "blue": (194, 219, 233),
    "yellow": (254, 234, 188),
}
_BODY = (162, 163, 175)
_PALE = ((255, 255, 255), (249, 249, 250), (218, 218, 223))  # floor, and the arena's border


def colour_masked(demonstrations: DemonstrationSet) -> list[MaskedVideo]:
    """The demonstrations with masks by colour: 1 the robot's body, then the blocks as the simulator lists them.

    Raises `UserError` where blocks of the scene share a colour, or for a camera other than the allocentric.
    """
    if demonstrations.env_kwargs.get("view", "allo") != "allo":
        raise UserError("masks by colour need demonstrations seen from above: import them with --view allo")
    task, variant = parse_env_id(demonstrations.env_id)
    world = MagicalEnv(task, variant)
    world.reset(seed=0)
    colours = [block.colour for block in world.state().blocks]
    if variant != "Demo" or len(set(colours)) < len(colours):
        raise UserError(
            f"masks by colour need a Demo scene whose blocks differ in colour; {demonstrations.env_id} is none"
        )
    videos = []
    for demonstration in demonstrations:
        masks = np.stack([_mask(frame, colours) for frame in demonstration.images])
        area = keypoint_area(*masks.shape[1:])
        objects = tuple(range(1, 2 + len(colours)))
        videos.append(MaskedVideo(demonstrations.env_id, demonstration.images, masks, objects, area))
    return videos


def _mask(frame: NDArray[np.uint8], colours: list[str]) -> NDArray[np.uint8]:
    """(H, W, 3) → (H, W): every pixel belongs to the nearest of the colours that occur."""
    palette = [_BODY, *(_BLOCKS[colour] for colour in colours), *_REGIONS.values(), *_PALE]
    difference = frame[:, :, None].astype(np.int32) - np.array(palette)
    nearest = (difference**2).sum(3).argmin(2)
    mask = np.where(nearest <= len(colours), nearest + 1, 0).astype(np.uint8)
    # The body is a disc with eyes: the hull of its largest patch.
    count, patches, stats, _ = cv2.connectedComponentsWithStats((mask == 1).astype(np.uint8))
    mask[mask == 1] = 0
    if count > 1:
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        rows, columns = np.nonzero(patches == largest)
        hull = cv2.convexHull(np.stack([columns, rows], 1).astype(np.int32))
        body = cv2.fillConvexPoly(np.zeros_like(mask), hull, (1,))
        mask[(body == 1) & (mask == 0)] = 1
    return mask
