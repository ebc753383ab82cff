"""Masks of recorded demonstrations, by colour: for people's demonstrations, whose simulator is not at hand.

MAGICAL paints the robot's body and every block in one flat colour each. In the Demo scenes of MoveToCorner,
MoveToRegion and MakeLine no two blocks share a colour, so a colour is an object. Two things differ from the
simulator's masks: fingers, as pale as the arena's border, are background; and objects are a pixel wider, for
their rim blends into what is behind.
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

_ROBOT = 1
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def colour_masked(demonstrations: DemonstrationSet) -> list[MaskedVideo]:
    """The demonstrations with masks by colour: 1 the robot's body, then blocks as the simulator lists them.

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
            "masks by colour need a Demo scene in which no two blocks share a colour; "
            f"{demonstrations.env_id} is none"
        )
    videos = []
    for demonstration in demonstrations:
        masks = np.stack([_mask(frame, colours) for frame in demonstration.images])
        area = keypoint_area(*masks.shape[1:])
        objects = tuple(range(1, 2 + len(colours)))
        videos.append(MaskedVideo(demonstrations.env_id, demonstration.images, masks, objects, area))
    return videos


def _mask(frame: NDArray[np.uint8], colours: list[str]) -> NDArray[np.uint8]:
    """(H, W, 3) → (H, W): a pixel belongs to the nearest of the colours that occur; then rims are added."""
    palette = [_BODY, *(_BLOCKS[colour] for colour in colours), *_REGIONS.values(), *_PALE]
    difference = frame[:, :, None].astype(np.int32) - np.array(palette)
    nearest = (difference**2).sum(3).argmin(2)
    mask = np.where(nearest <= len(colours), nearest + 1, 0).astype(np.uint8)
    body = _hull_of_largest_patch(mask == _ROBOT)  # a disc with eyes, which have other colours
    mask[mask == _ROBOT] = 0
    mask[body & (mask == 0)] = _ROBOT
    rimmed = mask.copy()
    for instance in range(_ROBOT, 2 + len(colours)):
        wider = cv2.dilate((mask == instance).astype(np.uint8), _CROSS).astype(bool)
        rimmed[wider & (rimmed == 0)] = instance
    return rimmed


def _hull_of_largest_patch(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of the largest connected patch of pixels, (H, W) → (H, W)."""
    count, patches, stats, _ = cv2.connectedComponentsWithStats(pixels.astype(np.uint8))
    hull = np.zeros(pixels.shape, np.uint8)
    if count > 1:
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        rows, columns = np.nonzero(patches == largest)
        corners = cv2.convexHull(np.stack([columns, rows], 1).astype(np.int32))
        cv2.fillConvexPoly(hull, corners, (1,))
    return hull.astype(bool)
