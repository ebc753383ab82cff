"""Pairs of frames: neighbours only, and augmentation that moves pictures and entropy together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mint_rl.errors import UserError
from mint_rl.keypoints.gate import entropy_image
from mint_rl.training.video_pairs import VideoPairs, placements


def _videos(lengths: tuple[int, ...] = (4, 2, 3), side: int = 24) -> list[np.ndarray]:
    """Noise whose top left pixel counts the frames of all videos."""
    rng = np.random.default_rng(0)
    videos, count = [], 0
    for length in lengths:
        video = rng.integers(0, 256, (length, side, side, 3), np.uint8)
        video[:, 0, 0, 0] = np.arange(count, count + length)
        count += length
        videos.append(video)
    return videos


def test_pairs_are_neighbours_of_one_video() -> None:
    pairs = VideoPairs(_videos(), "none", 3)
    assert len(pairs) == 3 + 1 + 2
    frames, entropy = pairs.draw(200, np.random.default_rng(0), turns=False)
    first, second = frames[:, 0, 0, 0, 0].int(), frames[:, 1, 0, 0, 0].int()
    assert (second == first + 1).all()
    assert set(first.tolist()) == {0, 1, 2, 4, 6, 7}
    torch.testing.assert_close(entropy[:, 0], entropy_image(frames[:, 0], "none"))


def test_the_seed_decides_what_is_drawn() -> None:
    pairs = VideoPairs(_videos(), "binarise", 3)
    a, b, other = (pairs.draw(5, np.random.default_rng([3, step]), True, 4) for step in (1, 1, 2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert not torch.equal(a[0], other[0])


def test_entropy_moves_with_the_picture() -> None:
    """Turned and mirrored, a frame has the turned and mirrored entropy."""
    pairs = VideoPairs(_videos(), "binarise", 3)
    frames, entropy = pairs.draw(20, np.random.default_rng(1), turns=True)
    for t in (0, 1):
        torch.testing.assert_close(entropy[:, t], entropy_image(frames[:, t]))


def test_placements_reach_all_eight_poses_alike_for_both_frames() -> None:
    image = np.arange(25).reshape(5, 5)
    poses = {np.rot90(side, turn).tobytes() for side in (image, image.T) for turn in range(4)}
    source, outside = placements(np.random.default_rng(0), 200, (5, 5), True, 0)
    seen = {image.ravel()[index].tobytes() for index in source.numpy()}
    assert seen == poses
    assert not outside.any()


def test_pictures_that_are_not_square_keep_their_shape() -> None:
    image = np.arange(15).reshape(3, 5)
    source, _ = placements(np.random.default_rng(0), 100, (3, 5), True, 0)
    seen = {image.ravel()[index].tobytes() for index in source.numpy()}
    assert seen == {side.tobytes() for side in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])}


def test_a_shift_continues_the_border_and_holds_no_entropy_there() -> None:
    source, outside = placements(np.random.default_rng(4), 50, (6, 6), False, 2)
    image = np.arange(36).reshape(6, 6)
    for index, beyond in zip(source.numpy(), outside.numpy(), strict=True):
        shifts = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.array_equal(
                image.ravel()[index],
                image[np.clip(np.arange(6) - dy, 0, 5)][:, np.clip(np.arange(6) - dx, 0, 5)],
            )
        ]
        assert len(shifts) == 1
        dy, dx = shifts[0]
        assert beyond.sum() == 36 - (6 - abs(dy)) * (6 - abs(dx))
    pairs = VideoPairs(_videos(side=20), "none", 3)
    _, entropy = pairs.draw(30, np.random.default_rng(5), False, 6)
    assert (entropy == 0).any()


def test_spread_is_even_and_unaltered() -> None:
    pairs = VideoPairs(_videos(), "none", 3)
    frames, _ = pairs.spread(100)
    assert frames[:, 0, 0, 0, 0].tolist() == [0, 1, 2, 4, 6, 7]


@pytest.mark.parametrize(
    ("videos", "words"),
    [
        ([], "no video"),
        ([np.zeros((1, 24, 24, 3), np.uint8)], "a pair needs 2"),
        ([np.zeros((3, 24, 24, 3), np.uint8), np.zeros((3, 24, 25, 3), np.uint8)], "video 1"),
        ([np.zeros((3, 24, 24, 3), np.float32)], "must be uint8"),
    ],
)
def test_videos_that_cannot_be_used(videos: list[np.ndarray], words: str) -> None:
    with pytest.raises(UserError, match=words):
        VideoPairs(videos, "binarise", 3)
