"""CLEVRER's proposals: masks of the objects in its videos, to evaluate keypoints on.

    video_00000-01000/video_00000.mp4      480×320, 128 frames
    proposal_00000.json                    anywhere below the same root; "sim_00000.json" in some archives

A proposal file is `{"video_index", "video_name", "frames": [{"frame_filename", "frame_index", "objects":
[{"mask": {"size", "counts"}, "color", "material", "shape", "score"}]}]}`. No two objects of a video have the
same colour, material and shape, so these tell which object of one frame is which of the next.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mint_rl.data.masked_video import MaskedVideo
from mint_rl.data.videos.clips import BrokenVideo, natural, read_video
from mint_rl.data.videos.coco_rle import decode_mask
from mint_rl.errors import UserError

KEYPOINT_AREA = 1796.8  # A_k in pixels at 320×480: what the authors of MINT divided areas by
_VIDEO = re.compile(r"video_(\d+)\.mp4")


class Proposals(NamedTuple):
    """The objects of one video."""

    masks: NDArray[np.uint8]  # (T, H, W): 0 is background, 1 + n is the object `objects[n]`
    objects: tuple[str, ...]  # "red metal cube", ...


def masked_clevrer(root: str | Path, most: int | None = None) -> Iterator[MaskedVideo]:
    """The videos below `root` that have proposals, with masks; at most so many.

    Raises `UserError` where there is none, or a video or its proposals cannot be read.
    """
    root = Path(root)
    videos = {found[1]: path for path in root.rglob("video_*.mp4") if (found := _VIDEO.fullmatch(path.name))}
    files = {path.stem.rpartition("_")[2]: path for path in root.rglob("*.json") if is_proposal(path)}
    both = sorted(videos.keys() & files.keys(), key=lambda number: natural(videos[number]))[:most]
    if not both:
        raise UserError(
            f"'{root}' has {len(videos)} CLEVRER videos (video_00000.mp4) and {len(files)} files of "
            "proposals (proposal_00000.json), but no video with its own: give the folder that holds both"
        )
    for number in both:
        try:
            frames = np.stack([frame.load() for frame in read_video(videos[number])])
        except BrokenVideo as error:
            raise UserError(f"'{videos[number]}' {error}: copy or download it again") from error
        masks, objects = read_proposals(files[number], len(frames))
        ids = tuple(range(1, 1 + len(objects)))
        area = KEYPOINT_AREA * masks.shape[1] * masks.shape[2] / (320 * 480)
        yield MaskedVideo("CLEVRER", frames, masks, ids, area)


def is_proposal(path: Path) -> bool:
    """Whether a file is called like one of proposals."""
    return re.fullmatch(r"(proposal|sim)_\d+\.json", path.name) is not None


def read_proposals(path: str | Path, length: int) -> Proposals:
    """The masks of a video of `length` frames; frames that the file does not name have no object.

    Of several proposals with the same look, the one of the highest score counts; where masks overlap, the
    higher score is in front. Raises `UserError` for a file that is not of this form.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [(_index(frame, length), _best(frame["objects"])) for frame in content["frames"]]
        objects = tuple(sorted({look for _, best in found for look in best}))
        masks: NDArray[np.uint8] | None = None
        for index, best in found:
            for look, proposal in sorted(best.items(), key=lambda item: float(item[1].get("score", 1.0))):
                mask = decode_mask(proposal["mask"])
                if masks is None:
                    masks = np.zeros((length, *mask.shape), np.uint8)
                if mask.shape != masks.shape[1:]:
                    raise ValueError(f"its masks are {mask.shape} and {masks.shape[1:]}")
                masks[index][mask] = 1 + objects.index(look)
    except OSError as error:
        raise UserError(f"the proposals '{path}' cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' does not hold CLEVRER proposals: {error}") from error
    if masks is None or len(objects) > 255:
        raise UserError(f"'{path}' names {len(objects)} objects; there must be 1 to 255")
    return Proposals(masks, objects)


def _index(frame: dict[str, Any], length: int) -> int:
    index = int(frame["frame_index"])
    if not 0 <= index < length:
        raise ValueError(f"frame {index} is named, but the video has {length} frames")
    return index


def _best(proposals: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Look → its proposal of the highest score."""
    best: dict[str, dict[str, Any]] = {}
    for proposal in proposals:
        look = f"{proposal['color']} {proposal['material']} {proposal['shape']}"
        if look not in best or float(proposal.get("score", 1.0)) > float(best[look].get("score", 1.0)):
            best[look] = proposal
    return best
