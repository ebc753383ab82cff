"""Pairs of frames: neighbours only, and augmentation that moves pictures and entropy together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.data.videos.stored_array import StoredArray, store_array
from mint_rl.errors import UserError
from mint_rl.keypoints.gate import entropy_image
from mint_rl.keypoints.method import Needs
from mint_rl.training.entropy_images import entropy_images
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
    frames, entropy, _ = pairs.draw(200, np.random.default_rng(0), turns=False)[:3]
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


def _dots(number: int, side: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Black pictures with one white pixel each, and where it is: x, y in [0, 1]."""
    inner = (side[0] - 12, side[1] - 12)
    cells = np.random.default_rng(0).choice(inner[0] * inner[1], number, replace=False)
    rows, columns = cells // inner[1] + 6, cells % inner[1] + 6
    pictures = np.zeros((number, *side, 3), np.uint8)
    pictures[np.arange(number), rows, columns] = 255
    return pictures, np.stack([columns / (side[1] - 1), rows / (side[0] - 1)], 1)


def _white(frame: torch.Tensor) -> torch.Tensor:
    """Where the white pixel of a frame (H, W, C) is."""
    ((row, column),) = frame[..., 0].nonzero().tolist()
    return torch.tensor([column / (frame.shape[1] - 1), row / (frame.shape[0] - 1)])


@pytest.mark.parametrize("side", [(24, 24), (20, 30)])
@pytest.mark.parametrize("apart", [0.0, 0.5, 1.0])
def test_keypoints_are_taken_back_to_where_they_are_in_the_video(side: tuple[int, int], apart: float) -> None:
    pictures, places = _dots(40, side)
    pairs = VideoPairs([pictures], "none", 3)
    drawn = pairs.draw(60, np.random.default_rng(1), turns=True, shift=5, apart=apart)
    seen = torch.stack([torch.stack([_white(frame) for frame in both]) for both in drawn.frames])
    found = drawn.in_video(seen[:, :, None])[:, :, 0]
    firsts = [int(np.abs(places - both[0].numpy()).sum(1).argmin()) for both in found]
    expected = torch.from_numpy(np.stack([places[[first, first + 1]] for first in firsts]))
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=0)
    alike = (drawn.back[:, 0] == drawn.back[:, 1]).flatten(1).all(1)
    assert alike[round(apart * 60) :].all()
    if apart:
        assert alike[: round(apart * 60)].float().mean() < 0.2


def test_entropy_stays_as_it_is_in_the_video() -> None:
    videos = _videos()
    pairs = VideoPairs(videos, "binarise", 3)
    whole = entropy_image(torch.from_numpy(np.concatenate(videos)))
    drawn = pairs.draw(20, np.random.default_rng(1), turns=True, shift=3, apart=0.5)
    plain = pairs.draw(20, np.random.default_rng(1), turns=False)
    torch.testing.assert_close(drawn.entropy, plain.entropy)
    torch.testing.assert_close(drawn.entropy, whole[plain.frames[:, :, 0, 0, 0].int()])


def test_what_lies_beyond_the_border_is_cut_off() -> None:
    pairs = VideoPairs(_videos(), "none", 3)
    drawn = pairs.draw(50, np.random.default_rng(1), turns=True, shift=6)
    found = drawn.in_video(torch.rand(50, 2, 9, 2, generator=torch.Generator().manual_seed(0)))
    assert found.min() == 0
    assert found.max() == 1


def _placed(image: np.ndarray, **choices: object) -> list[np.ndarray]:
    """The image in each of 200 random placements."""
    placed = placements(np.random.default_rng(0), 200, image.shape, **choices)  # type: ignore[arg-type]
    results = np.empty((200, *image.shape), image.dtype)
    for index in range(200):
        placed.move(index, image, results[index])
    return list(results)


def test_placements_reach_all_eight_poses() -> None:
    image = np.arange(25).reshape(5, 5)
    poses = {np.rot90(side, turn).tobytes() for side in (image, image.T) for turn in range(4)}
    assert {placed.tobytes() for placed in _placed(image, turns=True, shift=0)} == poses


def test_pictures_that_are_not_square_keep_their_shape() -> None:
    image = np.arange(15).reshape(3, 5)
    seen = {placed.tobytes() for placed in _placed(image, turns=True, shift=0)}
    assert seen == {side.tobytes() for side in (image, image[::-1], image[:, ::-1], image[::-1, ::-1])}


def test_a_shift_continues_the_border() -> None:
    image = np.arange(36).reshape(6, 6)
    shifted = {
        image[np.clip(np.arange(6) - dy, 0, 5)][:, np.clip(np.arange(6) - dx, 0, 5)].tobytes()
        for dy in range(-2, 3)
        for dx in range(-2, 3)
    }
    assert {placed.tobytes() for placed in _placed(image, turns=False, shift=2)} == shifted


def test_a_frame_in_a_mirrored_and_shifted_pair_is_the_one_that_indexing_gives() -> None:
    """Every choice at once, against the source of each pixel written out."""
    picture = np.random.default_rng(2).integers(0, 256, (7, 7, 3), np.uint8)
    placed = placements(np.random.default_rng(3), 50, (7, 7), True, 3)
    result = np.empty_like(picture)
    for index in range(50):
        placed.move(index, picture, result)
        for y in range(7):
            for x in range(7):
                source = placed.rows[index, y], placed.columns[index, x]
                row, column = source[::-1] if placed.transpose[index] else source
                assert (result[y, x] == picture[row, column]).all()


def test_a_set_on_disk_gives_what_it_gives_in_memory(tmp_path: Path) -> None:
    videos = _videos()
    stored = []
    for number, video in enumerate(videos):
        store_array(tmp_path / f"{number}.npy", [video[:2], video[2:]])
        stored.append(StoredArray(tmp_path / f"{number}.npy"))
    memory, disk = VideoPairs(videos, "binarise", 3), VideoPairs(stored, "binarise", 3)
    for pairs in (disk, VideoPairs(stored, "binarise", 3)):  # computed, then read again
        for one, other in zip(
            memory.draw(9, np.random.default_rng(1), True, 3)[:3],
            pairs.draw(9, np.random.default_rng(1), True, 3)[:3],
            strict=True,
        ):
            assert torch.equal(one, other)
    assert torch.equal(memory.entropy_sample(4), disk.entropy_sample(4))
    assert len(list(tmp_path.glob("*-entropy*.npy"))) == 3


def test_entropy_of_another_configuration_is_not_taken(tmp_path: Path) -> None:
    (video,) = _videos((3,))
    store_array(tmp_path / "0.npy", [video])
    stored = StoredArray(tmp_path / "0.npy")
    for preprocessing, region in (("none", 3), ("none", 5), ("binarise", 3)):
        expected = entropy_image(torch.from_numpy(video), preprocessing, region).numpy()
        np.testing.assert_array_equal(entropy_images([stored], preprocessing, region)[0], expected)
    # A damaged file is made anew.
    (path,) = tmp_path.glob("0-entropy*-none-3.npy")
    path.write_bytes(path.read_bytes()[:-5])
    expected = entropy_image(torch.from_numpy(video), "none", 3).numpy()
    np.testing.assert_array_equal(entropy_images([stored], "none", 3)[0], expected)


def test_entropy_sample_is_every_nth_frame_across_videos() -> None:
    videos = _videos((4, 2, 3))
    whole = torch.cat([torch.from_numpy(video) for video in videos])
    sample = VideoPairs(videos, "none", 3).entropy_sample(4)
    torch.testing.assert_close(sample, entropy_image(whole[::2], "none"))


def test_spread_is_even_and_unaltered() -> None:
    pairs = VideoPairs(_videos(), "none", 3)
    ((frames, _, back, _),) = pairs.spread(100)
    assert [len(part.frames) for part in pairs.spread(5, batch=2)] == [2, 2, 1]
    assert (back == torch.eye(2, 3)).all()
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


def test_clips_keep_to_one_video_and_one_distance_in_time() -> None:
    """Frames are their own numbers, so that a clip shows where it was taken from."""
    videos = [np.full((length, 12, 12, 3), 10, np.uint8) for length in (9, 4)]
    for start, video in zip((0, 100), videos, strict=True):
        video += (start + np.arange(len(video), dtype=np.uint8))[:, None, None, None]
    pairs = VideoPairs(videos, "none", 3, Needs(frames=3, gap=4))
    assert len(pairs) == 7 + 2
    clips = pairs.draw(300, np.random.default_rng(0), turns=True, shift=2)
    assert clips.entropy is None
    assert clips.frames.shape == (300, 3, 12, 12, 3)
    times = clips.frames[:, :, 6, 6, 0].int()
    steps = times.diff(dim=1)
    assert torch.equal(steps[:, 0], steps[:, 1])
    assert set(steps.flatten().tolist()) == {1, 2, 3, 4}
    assert not ((times[:, 0] < 50) & (times[:, 2] > 50)).any()
    assert torch.equal(clips.back, clips.back[:, :1].expand_as(clips.back))  # placed alike
    shown = torch.cat([part.frames for part in pairs.spread(100)])[:, :, 0, 0, 0].int().diff(dim=1)
    assert (len(shown), int(shown.max())) == (9, 3)  # frame 2 of 9 would have had its fourth distance
    with pytest.raises(UserError, match=r"has 4 frame\(s\); a clip needs 5"):
        VideoPairs(videos, "none", 3, Needs(frames=5))
