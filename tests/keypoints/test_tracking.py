"""Tracks: by hand, one rule after another, and the same however a video is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.tracking import Tracker, follow

REACH = 0.1
GAMMA = 1.5
FAR = (0.0, 0.0)  # of what is not active


def _found(first: list[tuple[float, float]], second: list[tuple[float, float]], maps: int = 6) -> np.ndarray:
    """What a frame of `maps` maps gives: active keypoints and second peaks at these places."""
    found = np.zeros((2 * maps, 3), np.float32)
    for places, start in ((first, 0), (second, maps)):
        for number, place in enumerate(places):
            found[start + number] = (*place, place != FAR)
    return found


def _alive(tracks: np.ndarray) -> list[tuple[float, float]]:
    return [(round(float(x), 4), round(float(y), 4)) for x, y, status in tracks if status > 0.5]


def test_two_keypoints_begin_a_track_and_one_does_not() -> None:
    tracker = Tracker(4, REACH)
    assert _alive(tracker.step(_found([(0.5, 0.5)], []))) == []
    assert _alive(tracker.step(_found([(0.5, 0.5), (0.56, 0.5)], []))) == []  # more than half the reach apart
    assert _alive(tracker.step(_found([(0.5, 0.5), (0.54, 0.5)], []))) == [(0.5, 0.5)]


def test_a_second_peak_needs_two_companions() -> None:
    assert _alive(Tracker(4, REACH).step(_found([FAR], [(0.5, 0.5), (0.52, 0.5)]))) == []
    three = [(0.5, 0.5), (0.52, 0.5), (0.54, 0.5)]
    assert _alive(Tracker(4, REACH).step(_found([FAR], three))) == [(0.5, 0.5)]


def test_the_best_supported_begins_first_and_keeps_others_off() -> None:
    """Of four in a row the second has most companions, and reaches the others; two are beyond it."""
    crowd = [(0.47, 0.5), (0.5, 0.5), (0.53, 0.5), (0.56, 0.5)]
    tracks = Tracker(4, REACH).step(_found([*crowd, (0.8, 0.5), (0.82, 0.5)], []))
    assert _alive(tracks) == [(0.5, 0.5), (0.8, 0.5)]


def test_a_track_moves_with_its_maps_and_takes_their_mean() -> None:
    """Four maps around a track move by 0.05: it goes along, and half the way to their mean."""
    square = [(0.48, 0.48), (0.52, 0.48), (0.48, 0.52), (0.52, 0.52)]
    tracker = Tracker(4, REACH)
    assert _alive(tracker.step(_found(square, []))) == [(0.48, 0.48)]
    moved = [(x + 0.05, y) for x, y in square]
    assert _alive(tracker.step(_found(moved, []))) == [(0.54, 0.49)]  # (0.53, 0.48) to (0.55, 0.5), half way


def test_a_track_outlives_its_maps() -> None:
    """The maps that began it sleep, others wake in its reach: the same track goes on, at their mean."""
    tracker = Tracker(4, REACH)
    tracker.step(_found([(0.5, 0.5), (0.5, 0.5), FAR, FAR, FAR, FAR], []))
    tracks = tracker.step(_found([FAR, FAR, (0.54, 0.5), (0.54, 0.5), (0.54, 0.5), (0.54, 0.5)], []))
    assert _alive(tracks) == [(0.52, 0.5)]
    assert tracks[0, 2] == 1


def test_with_fewer_than_four_it_keeps_to_the_crowd() -> None:
    """Of its own it has one, at its place; four more within reach are nearer to another track."""
    tracker = Tracker(4, REACH)
    tracker.places[:2], tracker.alive[:2] = [(0.5, 0.5), (0.58, 0.5)], True
    tracker._before = np.zeros((6, 2), np.float32), np.zeros(6, bool)
    tracks = tracker.step(_found([(0.5, 0.5), *[(0.58, 0.5)] * 4], []))
    # A fifth of the way to the mean of all five, (0.564, 0.5); the other one stays.
    assert _alive(tracks) == [(0.5128, 0.5), (0.58, 0.5)]


def test_what_jumps_carries_nothing_along() -> None:
    """One of four maps jumps further than the reach: the mean motion is that of the other three, 0."""
    tracker = Tracker(4, REACH)
    tracker.step(_found([(0.5, 0.5)] * 4, []))
    assert _alive(tracker.step(_found([*[(0.5, 0.5)] * 3, (0.9, 0.9)], []))) == [(0.5, 0.5)]


def test_a_track_ends_after_three_frames_of_nothing() -> None:
    tracker = Tracker(2, REACH)
    tracker.step(_found([(0.5, 0.5), (0.5, 0.5)], []))
    nothing = _found([], [])
    assert [len(_alive(tracker.step(nothing))) for _ in range(5)] == [1, 1, 1, 0, 0]


def test_numbers_are_the_lowest_that_are_free_and_there_are_no_more() -> None:
    places = [(0.1, 0.1), (0.1, 0.1), (0.5, 0.5), (0.5, 0.5), (0.9, 0.9), (0.9, 0.9)]
    tracks = Tracker(2, REACH).step(_found(places, []))
    assert _alive(tracks) == [(0.1, 0.1), (0.5, 0.5)]


def test_a_number_rests_for_a_frame() -> None:
    """A track ends in the frame in which another begins: that one has another number, or waits for this."""
    nothing, here, there = _found([], []), _found([(0.2, 0.2)] * 2, []), _found([(0.8, 0.8)] * 2, [])
    for tracks, wanted in ((2, [(0.8, 0.8)]), (1, [])):
        tracker = Tracker(tracks, REACH)
        for found in (here, nothing, nothing, nothing):
            assert _alive(tracker.step(found)) == [(0.2, 0.2)]
        last = tracker.step(there)
        assert last[0, 2] == 0
        assert _alive(last) == wanted
        assert _alive(tracker.step(there)) == [(0.8, 0.8)]


def _encoder(**settings: object) -> KeypointEncoder:
    torch.manual_seed(3)
    config = EncoderConfig(num_keypoints=8, image_size=(48, 48), gamma=GAMMA, window=0.2, **settings)  # type: ignore[arg-type]
    encoder = KeypointEncoder(config).eval()
    norm = encoder.network[-1]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    norm.weight.data.mul_(100.0)  # maps with peaks
    return encoder


def _video(frames: int = 20) -> np.ndarray:
    """A white square that slides over noise."""
    video = np.random.default_rng(0).integers(90, 110, (frames, 48, 48, 3), np.uint8)
    for time, frame in enumerate(video):
        frame[20:30, 5 + time : 15 + time] = 255
    return video


def test_a_video_read_in_parts_and_together() -> None:
    encoder, video = _encoder(tracks=5), _video()
    whole = encoder.read_video(video)
    assert whole.shape == (20, 5, 3)
    assert 0 < whole[..., 2].sum() < whole[..., 2].size
    assert whole.min() >= 0
    assert whole.max() <= 1
    tracker = encoder.tracker()
    parts = [
        encoder.read_video(video[start:stop], tracker=tracker) for start, stop in ((0, 1), (1, 9), (9, 20))
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-5)
    assert encoder.read_video(video[:0]).shape == (0, 5, 3)


def test_two_videos_at_once_and_tensors() -> None:
    encoder, one = _encoder(tracks=5), _video()
    other = one[::-1].copy()
    trackers = [encoder.tracker(), encoder.tracker()]
    together = np.stack(
        [follow(encoder, torch.from_numpy(np.stack(pair)), trackers) for pair in zip(one, other, strict=True)]
    )
    np.testing.assert_allclose(together[:, 0], encoder.read_video(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(together[:, 1], encoder.read_video(other), rtol=0, atol=1e-5)


def test_training_mode_changes_nothing() -> None:
    encoder, video = _encoder(tracks=5), _video(3)
    wanted = encoder.read_video(video, descriptors=True)
    encoder.train()
    np.testing.assert_array_equal(encoder.read_video(video, descriptors=True), wanted)
    assert encoder.training
    np.testing.assert_array_equal(encoder.eval().read_video(video, descriptors=True), wanted)


def test_what_is_no_video() -> None:
    for encoder in (_encoder(tracks=5), _encoder()):
        with pytest.raises(UserError, match=r"frames of shape \(T, H, W, C\), not \(48, 48, 3\)"):
            encoder.read_video(_video()[0])
    with pytest.raises(UserError, match=r"not torch\.float32 of shape"):
        follow(encoder, torch.zeros(1, 48, 48, 3), [encoder.tracker()])
    empty = follow(encoder, torch.zeros(0, 48, 48, 3, dtype=torch.uint8), [])
    assert empty.shape == (0, 8, 3)


def test_descriptors_are_those_at_the_tracks() -> None:
    encoder, video = _encoder(tracks=5, descriptor_stages=(1, 3)), _video()
    found = encoder.read_video(video, descriptors=True)
    places = torch.from_numpy(found[..., :2].copy())
    wanted = encoder.describe(torch.from_numpy(video), places).detach().numpy()
    np.testing.assert_allclose(found[..., 3:], wanted, rtol=1e-4, atol=1e-5)


def test_without_tracks_every_frame_is_read_for_itself(tmp_path: Path) -> None:
    encoder, video = _encoder(), _video()
    assert encoder.num_video_keypoints == encoder.num_keypoints == 8
    np.testing.assert_array_equal(encoder.read_video(video), encoder.encode(video))
    encoder.config = dataclasses.replace(encoder.config, tracks=3)
    encoder.save_pretrained(tmp_path)
    again = KeypointEncoder.from_pretrained(tmp_path)
    assert again.num_video_keypoints == 3
    np.testing.assert_array_equal(again.read_video(video), encoder.read_video(video))


def test_the_gate_closes_second_peaks_too() -> None:
    encoder, video = _encoder(tracks=5, gate=10.0), torch.from_numpy(_video(2))
    assert float(encoder.candidates(video)[0][..., 2].max()) == 0.0
    encoder.config = dataclasses.replace(encoder.config, gate=None)
    found = encoder.candidates(video)[0]
    assert found.shape == (2, 16, 3)
    assert min(float(found[:, :8, 2].max()), float(found[:, 8:, 2].max())) > 0.5
    np.testing.assert_allclose(found[:, :8], encoder.encode(video.numpy()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tracks": 0}, "tracks is 0; it must be 1 or more"),
        ({"tracks": 4, "edges": ((0, 1),)}, "edges joins keypoints by their numbers"),
        ({"tracks": 4, "status": "always"}, "whose status is peak"),
        ({"tracks": 4, "reach": 0.0}, "reach is 0.0; it must be above 0"),
        ({"reach": "far"}, "must be numbers"),
    ],
)
def test_what_cannot_be(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        EncoderConfig(**settings)  # type: ignore[arg-type]
