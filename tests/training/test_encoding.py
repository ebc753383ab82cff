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
from mint_rl.training.encoding import Change, Encoding, recoloured, shifted

CHANGES = [Change(), Change(2, -1)]
SWAPPED = ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))  # red and blue


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
        (Encoding(new_encoder(), cache=tmp_path), images, [Change(), Change(2, -1, SWAPPED)]),
    ]
    for count, (encoding, frames, changes) in enumerate(ways, 1):
        encoding.of(frames, changes)
        assert len(list(tmp_path.iterdir())) == count


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


def test_colours_are_mixed_about_grey(images: np.ndarray) -> None:  # type: ignore[type-arg]
    np.testing.assert_array_equal(recoloured(images, SWAPPED), images[..., ::-1])
    np.testing.assert_array_equal(recoloured(images, ()), images)
    brighter = recoloured(images, ((2.0, 0.0, 0.0, 0.1), *Change().colours, (0, 1, 0, 0), (0, 0, 1, 0)))
    expected = (2 * (images[..., 0] / 255 - 0.5) + 0.6).clip(0, 1) * 255
    np.testing.assert_allclose(brighter[..., 0], expected, atol=0.51)
    np.testing.assert_array_equal(brighter[..., 1:], images[..., 1:])


def test_drawn_changes_stay_within_what_was_asked_for() -> None:
    drawn = [Change.draw(4, 0.5, 3, np.random.default_rng(seed)) for seed in range(50)]
    assert {abs(move) for change in drawn for move in (change.right, change.down)} == {0, 1, 2, 3, 4}
    mixing = np.array([change.colours for change in drawn])
    assert mixing.shape == (50, 3, 4)
    away = np.abs(mixing - np.eye(3, 4))
    assert 0.45 < away[..., :3].max() <= 0.5
    assert 0.2 < away[..., 3].max() <= 0.25
    assert Change.draw(4, 0.0, 3, np.random.default_rng(0)).colours == ()
