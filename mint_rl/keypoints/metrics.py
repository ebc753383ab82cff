"""How well keypoints detect and track objects, by the MINT paper's appendix D, and how long they keep them.

All numbers are of one video, from its keypoints and instance masks; a data set's number is the mean over
its videos. Only active keypoints count, and an object counts in a frame that shows a pixel of it.

DOP  share of objects that have a keypoint on their mask; higher is better
TOP  share of objects that have one in this frame and in the one before; higher is better
UAK  keypoints on no object, a frame; lower is better
RAK  mean over objects of |A_obj − A_k·n_obj| / A_obj: keypoints out of proportion to the object's area. It is
     1 for an object without keypoints, so read it beside DOP; lower is better
identity  of the keypoints on an object, the share that is on the same object in the next frame, or 5 or 20
     frames later; not in the paper; higher is better
active  active keypoints, a frame
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mint_rl.errors import UserError

KEYPOINT_AREA = 180.0  # A_k in pixels for MAGICAL at 96×96: the mean area of its objects there
_NOWHERE = -1


@dataclass(frozen=True)
class VideoMetrics:
    """The metrics of one video, or the mean of several; NaN where there was nothing to count."""

    dop: float
    top: float
    uak: float
    rak: float
    identity: float
    identity_5: float
    identity_20: float
    active: float


def keypoint_hits(
    keypoints: NDArray[np.float32], masks: NDArray[np.integer], objects: Collection[int]
) -> NDArray[np.int64]:
    """On which object each keypoint lies.

    keypoints: (T, K, 3 or more) x, y in [0, 1] and status. masks: (T, H, W) instance ids. objects: the ids
    that are objects. Returns (T, K): an object's id, 0 for an active keypoint on none, −1 for an inactive.
    """
    keypoints, masks = np.asarray(keypoints), np.asarray(masks)
    if keypoints.ndim != 3 or keypoints.shape[2] < 3 or masks.ndim != 3 or len(keypoints) != len(masks):
        raise UserError(
            f"keypoints of shape {keypoints.shape} and masks of shape {masks.shape} do not fit: they must be "
            "(T, K, 3) and (T, H, W) with the same T"
        )
    if 0 in objects:
        raise UserError("the instance id 0 means background and cannot be an object")
    height, width = masks.shape[1:]
    columns = np.rint(keypoints[..., 0] * (width - 1)).astype(int).clip(0, width - 1)
    rows = np.rint(keypoints[..., 1] * (height - 1)).astype(int).clip(0, height - 1)
    below = masks[np.arange(len(masks))[:, None], rows, columns].astype(np.int64)
    hits = np.where(np.isin(below, list(objects)), below, 0)
    return np.where(keypoints[..., 2] > 0.5, hits, _NOWHERE)


def video_metrics(
    keypoints: NDArray[np.float32],
    masks: NDArray[np.integer],
    objects: Collection[int],
    keypoint_area: float = KEYPOINT_AREA,
) -> VideoMetrics:
    """The metrics of one video; arguments as of `keypoint_hits`.

    keypoint_area: A_k in pixels of the masks.
    """
    ids = np.array(sorted(objects))
    hits = keypoint_hits(keypoints, masks, objects)
    on = (hits[:, None] == ids[:, None]).sum(2)  # (T, O) keypoints on each object
    areas = (masks[:, None] == ids[:, None, None]).sum((2, 3))  # (T, O) pixels
    visible = areas > 0
    detected = visible & (on > 0)
    tracked = detected[1:] & detected[:-1]
    coverage = np.abs(areas - keypoint_area * on) / np.maximum(areas, 1)
    return VideoMetrics(
        dop=_mean_share(detected, visible),
        top=_mean_share(tracked, visible[1:]),
        uak=float((hits == 0).sum(1).mean()),
        rak=_mean_share(coverage * visible, visible),
        identity=identity(hits, 1),
        identity_5=identity(hits, 5),
        identity_20=identity(hits, 20),
        active=float((hits != _NOWHERE).sum(1).mean()),
    )


def identity(hits: NDArray[np.int64], gap: int) -> float:
    """Of the keypoints on an object, the share that is on the same one `gap` frames later.

    hits: (T, K) from `keypoint_hits`. NaN where no keypoint is on an object early enough, as in a video of
    `gap` frames.
    """
    earlier, later = hits[: max(len(hits) - gap, 0)], hits[gap:]
    held = earlier > 0
    return float((later == earlier)[held].mean()) if held.any() else float("nan")


def mean_metrics(videos: Sequence[VideoMetrics]) -> VideoMetrics:
    """The mean of each metric over the videos in which it is defined."""
    names = [field.name for field in dataclasses.fields(VideoMetrics)]
    columns = {name: np.array([getattr(video, name) for video in videos]) for name in names}
    known = {name: values[~np.isnan(values)] for name, values in columns.items()}
    return VideoMetrics(**{name: float(v.mean()) if len(v) else float("nan") for name, v in known.items()})


def _mean_share(counted: NDArray[np.generic], visible: NDArray[np.bool_]) -> float:
    """Mean over frames of Σ counted / number of visible objects, where any is visible."""
    total = visible.sum(1)
    some = total > 0
    if not some.any():
        return float("nan")
    return float((counted.sum(1)[some] / total[some]).mean())
