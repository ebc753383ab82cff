"""Encoders with other inference settings, named in a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import EncoderConfig, KeypointEncoder
from mint_rl.keypoints.inference_settings import describe_settings, load_with_settings


def saved(folder: Path) -> str:
    config = EncoderConfig(num_keypoints=3, gamma=7.0, gate=0.25, window=0.5)
    return str(KeypointEncoder(config).save_pretrained(folder))


def test_settings_replace_those_of_the_file(tmp_path: Path) -> None:
    word = saved(tmp_path / "run=3:a")
    assert describe_settings(load_with_settings(word)) == "γ 7, window 0.5, gate 0.25"
    changed = load_with_settings(f"{word}:gamma=12,gate=none")
    assert (changed.config.gamma, changed.config.gate, changed.config.window) == (12.0, None, 0.5)
    assert describe_settings(changed) == "γ 12, window 0.5, gate none"
    assert load_with_settings(f"{word}:window=0.125").config.window == 0.125
    crops = load_with_settings(f"{word}:descriptors=crops13,gamma=2")
    assert (crops.config.descriptor_crops, crops.config.descriptor_stages) == (True, (1, 3))
    assert crops.descriptor_dim == 9
    tracks = load_with_settings(f"{word}:tracks=5")
    assert tracks.num_video_keypoints == 5
    assert describe_settings(tracks) == "γ 7, window 0.5, gate 0.25, 5 tracks"
    again = load_with_settings(f"{tracks.save_pretrained(tmp_path / 'tracks')}:tracks=none")
    assert again.config.tracks is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("gama=3", r"unknown inference setting 'gama' \(did you mean 'gamma'\?\)"),
        ("gamma=none", "sets gamma to 'none'"),
        ("gate=", "sets gate to ''"),
        ("gate=nan", "must be numbers"),
        ("window=0", "must be above 0"),
        ("tracks=2.5", "sets tracks to '2.5', which is no whole number"),
        ("tracks=0", "must be 1 or more"),
        ("descriptors=4", "maps4 or crops123"),
        ("descriptors=crops4", "some of the stages 1 to 3"),
    ],
)
def test_bad_settings(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_with_settings(f"{saved(tmp_path / 'encoder')}:{settings}")


def test_no_name() -> None:
    with pytest.raises(UserError, match="empty"):
        load_with_settings("")
