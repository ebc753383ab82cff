"""Keypoints on disk: found again, never for something else, made anew when damaged."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.training.encoding import Change, Encoding, shifted

CHANGES = [Change(), Change(2, -1)]


def new_encoder(seed: int = 0) -> KeypointEncoder:
    torch.manual_seed(seed)
    return KeypointEncoder(EncoderConfig(num_keypoints=5, gamma=0.5)).eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("it was encoded again")


def test_what_was_encoded_is_not_encoded_again(
    images: np.ndarray,  # type: ignore[type-arg]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = new_encoder()
    first = Encoding(encoder, cache=tmp_path)
    keypoints = first.of(images, CHANGES)
    assert keypoints.shape == (6, 5, 3 + encoder.descriptor_dim)
    np.testing.assert_array_equal(keypoints[:3], encoder.encode(images, descriptors=True))
    np.testing.assert_array_equal(keypoints[3:], encoder.encode(shifted(images, 2, -1), descriptors=True))
    monkeypatch.setattr(KeypointEncoder, "encode", refuse)
    again = Encoding(new_encoder(), cache=tmp_path)
    np.testing.assert_array_equal(again.of(images, CHANGES), keypoints)
    # The cost is told as it was: a table of CPU seconds must not depend on what lies in a cache.
    assert again.seconds == first.seconds > 0


def test_whatever_decides_the_keypoints_is_in_the_key(images: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    other = new_encoder()
    other.config = replace(other.config, gamma=0.6)
    changed = images.copy()
    changed[1, 5, 5] ^= 1
    ways = [
        (Encoding(new_encoder(), cache=tmp_path), images, CHANGES),
        (Encoding(new_encoder(1), cache=tmp_path), images, CHANGES),
        (Encoding(other, cache=tmp_path), images, CHANGES),
        (Encoding(new_encoder(), descriptors=False, cache=tmp_path), images, CHANGES),
        (Encoding(new_encoder(), cache=tmp_path), changed, CHANGES),
        (Encoding(new_encoder(), cache=tmp_path), images, CHANGES[::-1]),
        (Encoding(new_encoder(), cache=tmp_path), images, CHANGES[:1]),
        (Encoding(new_encoder(), cache=tmp_path), images, [Change(), Change(2, -1, 0.5)]),
        (Encoding(new_encoder(), cache=tmp_path), images, [Change(), Change(2, -1, 0.5, 1)]),
    ]
    for count, (encoding, frames, changes) in enumerate(ways, 1):
        encoding.of(frames, changes)
        assert len(list(tmp_path.iterdir())) == count


def test_an_episode_is_a_video_for_tracks(images: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    encoder = new_encoder()
    plain = Encoding(encoder, cache=tmp_path).of(images, CHANGES)
    encoder.config = replace(encoder.config, tracks=3)
    found = Encoding(encoder, cache=tmp_path).of(images, CHANGES)
    assert found.shape == (6, 3, plain.shape[2])
    np.testing.assert_allclose(found[:3], encoder.read_video(images, descriptors=True), atol=1e-5)
    moved = encoder.read_video(shifted(images, 2, -1), descriptors=True)  # tracks of its own
    np.testing.assert_allclose(found[3:], moved, atol=1e-5)


@pytest.mark.parametrize("damage", ["cut", "bit", "text", "empty"])
def test_a_damaged_file_is_made_anew(images: np.ndarray, tmp_path: Path, damage: str) -> None:  # type: ignore[type-arg]
    encoding = Encoding(new_encoder(), cache=tmp_path)
    keypoints = encoding.of(images)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes({"cut": data[:-100], "bit": data, "text": b"not this", "empty": b""}[damage])
    np.testing.assert_array_equal(encoding.of(images), keypoints)
    assert len(path.read_bytes()) == len(data)


def test_the_oldest_files_go_first(images: np.ndarray, tmp_path: Path) -> None:  # type: ignore[type-arg]
    encoding = Encoding(new_encoder(), cache=tmp_path)
    for number in range(3):
        encoding.of(images, [Change(number)])
    oldest, middle, newest = sorted(tmp_path.iterdir())
    for age, path in enumerate((newest, middle, oldest)):
        os.utime(path, (1e9 - age, 1e9 - age))
    encoding.trim(2 * newest.stat().st_size)
    assert set(tmp_path.iterdir()) == {middle, newest}
    encoding.trim()
    assert set(tmp_path.iterdir()) == {middle, newest}


def test_works_without_a_cache_unless_one_is_asked_for(
    images: np.ndarray,  # type: ignore[type-arg]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    encoding = Encoding(new_encoder())
    assert encoding.of(images).shape[0] == 3
    assert encoding.seconds > 0
    encoding.trim()
    with pytest.raises(UserError, match="choose another with --cache"):
        Encoding(new_encoder(), cache=tmp_path / "file")


def test_a_change_of_colours_is_one_for_the_whole_episode(images: np.ndarray) -> None:  # type: ignore[type-arg]
    still = np.repeat(images[:1], 3, 0)
    once = Change(colour=0.5, colour_seed=1).apply(still)
    np.testing.assert_array_equal(once, np.repeat(once[:1], 3, 0))
    assert np.abs(once.astype(int) - still).mean() > 5
    np.testing.assert_array_equal(Change(colour=0.5, colour_seed=1).apply(still), once)
    assert (Change(colour=0.5, colour_seed=2).apply(still) != once).any()
    np.testing.assert_array_equal(Change(2, -1, 0.5, 1).apply(still), shifted(once, 2, -1))
    np.testing.assert_array_equal(Change().apply(still), still)
