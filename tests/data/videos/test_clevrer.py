"""COCO's run-length code and CLEVRER's proposals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_videos import counting_frames, number_of, write_clip, write_json

from mint_rl.data.videos.clevrer import masked_clevrer, read_proposals
from mint_rl.data.videos.coco_rle import decode_counts, decode_mask
from mint_rl.errors import UserError

# A mask of CLEVRER's own, with what COCO's tools say of it.
OF_CLEVRER = {
    "size": [320, 480],
    "counts": "jVc0`0^95K3N3M2M3N2N2O1N101N2N101N1000000000000000000000000000000000000001N101N2N101N2N2N2"
    "N2N3L3N3LYSd3",
}


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """COCO's code, written from its description."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    if flat[0]:
        runs = [0, *runs]
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        while True:
            bits, number = number & 0x1F, number >> 5
            more = number != (-1 if bits & 0x10 else 0)
            text += chr(48 + bits + (0x20 if more else 0))
            if not more:
                break
    return {"size": list(mask.shape), "counts": text}


def test_a_mask_of_clevrer() -> None:
    mask = decode_mask(OF_CLEVRER)
    rows, columns = np.nonzero(mask)
    assert mask.shape == (320, 480)
    assert mask.sum() == 1763
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (140, 183, 61, 107)
    assert encode_mask(mask) == OF_CLEVRER


@pytest.mark.parametrize("seed", range(5))
def test_any_mask_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.random((7, 5)) < (0.1, 0.5, 0.9, 0.0, 1.0)[seed], np.ones((9, 13))) > 0
    mask ^= rng.random(mask.shape) < 0.01
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


@pytest.mark.parametrize(
    ("encoded", "words"),
    [
        ({"size": [2, 2], "counts": "1"}, "2×2 pixels has runs of 1"),
        ({"size": [2, 2], "counts": "4\x7f"}, "character"),
        ({"size": [2, 2], "counts": "P"}, "middle of a number"),
        ({"size": [2, 2], "counts": "o" * 9}, "character"),
        ({"size": [2, 2], "counts": "?4"}, "runs"),  # −1
        ({"size": [2, 2]}, "size, counts"),
        ({"size": [0, 0], "counts": ""}, "0×0"),
        ("mask", "size, counts"),
    ],
)
def test_what_is_no_mask_is_refused(encoded: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decode_mask(encoded)
    assert decode_counts("4") == [4]


def _object(look: str, mask: np.ndarray, score: float) -> dict[str, Any]:
    colour, material, shape = look.split()
    described = {"color": colour, "material": material, "shape": shape, "score": score}
    return {"mask": encode_mask(mask), **described}


def _square(row: int, column: int, side: int = 4) -> np.ndarray:
    mask = np.zeros((24, 32), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def _write(root: Path, number: int, frames: list[tuple[int, list[dict[str, Any]]]]) -> Path:
    write_clip(root / "video_00000-01000" / f"video_{number:05d}.mp4", counting_frames(3))
    return write_json(
        root / "proposals" / f"proposal_{number:05d}.json",
        {
            "video_index": number,
            "video_name": f"video_{number:05d}.mp4",
            "frames": [
                {"frame_filename": f"frame_{index}.png", "frame_index": index, "objects": objects}
                for index, objects in frames
            ],
        },
    )


def test_objects_keep_their_id_and_the_best_proposal_counts(tmp_path: Path) -> None:
    ball, cube = "blue rubber ball", "red metal cube"
    first = [_object(cube, _square(2, 3), 0.9), _object(ball, _square(4, 5), 0.8)]
    third = [_object(ball, _square(10, 20), 0.7), _object(ball, _square(0, 0), 0.2)]
    path = _write(tmp_path, 0, [(0, first), (2, third)])
    masks, objects = read_proposals(path, 3)
    assert objects == (ball, cube)
    expected = np.zeros((3, 24, 32), np.uint8)
    expected[0][_square(4, 5)] = 1
    expected[0][_square(2, 3)] = 2  # the higher score is in front
    expected[2][_square(10, 20)] = 1
    np.testing.assert_array_equal(masks, expected)


def test_videos_with_proposals_become_masked_videos(tmp_path: Path) -> None:
    for number in (3, 12):
        _write(tmp_path, number, [(0, [_object("red metal cube", _square(number, 3), 0.9)])])
    write_clip(tmp_path / "video_00000-01000" / "video_00004.mp4", counting_frames(3))  # without masks
    videos = list(masked_clevrer(tmp_path))
    assert [int(np.nonzero(video.masks[0])[0].min()) for video in videos] == [3, 12]
    for video in videos:
        assert number_of(video.frames) == [0, 1, 2]
        assert (video.name, video.objects, video.masks.shape) == ("CLEVRER", (1,), (3, 24, 32))
        assert video.keypoint_area == pytest.approx(1796.8 * (24 * 32) / (320 * 480))
    assert len(list(masked_clevrer(tmp_path, most=1))) == 1


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 0 CLEVRER videos .* and 0 files of proposals"):
        next(masked_clevrer(tmp_path))
    path = _write(tmp_path, 0, [(5, [])])
    with pytest.raises(UserError, match="frame 5 is named, but the video has 3 frames"):
        next(masked_clevrer(tmp_path))
    good = json.loads(_write(tmp_path, 0, [(0, [_object("red metal cube", _square(1, 1), 1.0)])]).read_text())
    for content, words in (
        ("{", "does not hold CLEVRER proposals"),
        (json.dumps({"frames": [{"frame_index": 0}]}), "'objects'"),
        (json.dumps({"frames": []}), "names 0 objects"),
        (json.dumps({**good, "frames": [7]}), "does not hold CLEVRER proposals"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=words):
            next(masked_clevrer(tmp_path))
    path.write_text(json.dumps(good))
    video = tmp_path / "video_00000-01000" / "video_00000.mp4"
    video.write_bytes(video.read_bytes()[:200])
    with pytest.raises(UserError, match=r"video_00000.mp4' is damaged"):
        next(masked_clevrer(tmp_path))
