"""`mint-rl keypoints merge`: what it writes, that it repeats, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mint_rl.cli import main
from mint_rl.data.demonstrations import Demonstration, DemonstrationSet, write_demonstrations
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig


@pytest.fixture
def videos(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    actions = np.zeros(5, np.int64)
    demos = [
        Demonstration(rng.integers(0, 256, (5, 48, 48, 3), np.uint8), actions, actions, score=1.0)
        for _ in range(2)
    ]
    path = tmp_path / "videos.hdf5"
    write_demonstrations(path, DemonstrationSet("magical/MoveToCorner-Demo-v0", demos, {}, "a test"))
    return str(path)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Encoders whose keypoints are all active: γ = 0."""
    for seed in range(3):
        torch.manual_seed(seed)
        config = EncoderConfig.for_images(48, 48, num_keypoints=4, gamma=0.0)
        KeypointEncoder(config).save_pretrained(tmp_path / f"seed{seed}")
    return [str(tmp_path / f"seed{seed}") for seed in range(3)]


def test_a_merged_encoder_is_written_and_repeats(runs: list[str], videos: str, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    words = ["keypoints", "merge", *runs, "--data", videos, "--looked-at", "6"]
    assert main([*words, "--out", str(out)]) == 0
    merged = KeypointEncoder.from_pretrained(out)
    assert merged.num_keypoints == 6  # half of twelve
    assert merged.config.trunks == 3
    assert (out / "overlay.png").stat().st_size > 0
    record = json.loads((out / "merge.json").read_text())
    assert record["frames"] == 6
    assert [part["encoder"] for part in record["kept"]] == runs
    frames = np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), np.uint8)
    found = merged.encode(frames)
    for number, part in enumerate(record["kept"]):
        expected = KeypointEncoder.from_pretrained(part["encoder"]).encode(frames)[:, part["keypoints"]]
        np.testing.assert_allclose(found[:, 2 * number : 2 * number + 2], expected, atol=1e-5)
    covered = record["covered"]
    assert covered == sorted(covered)
    assert 0 < covered[0] <= covered[-1] <= 1
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_a_merged_encoder_with_tracks(runs: list[str], videos: str, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    words = ["keypoints", "merge", *runs, "--data", videos, "--keep", "9", "--tracks", "4", "--out", str(out)]
    assert main(words) == 0
    merged = KeypointEncoder.from_pretrained(out)
    assert (merged.num_keypoints, merged.num_video_keypoints) == (9, 4)


def test_tracks_need_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is known before anything is recorded or written."""
    runs = []
    for seed in range(2):
        config = EncoderConfig.for_images(48, 48, num_keypoints=4, status="always")
        runs.append(str(KeypointEncoder(config).save_pretrained(tmp_path / f"seed{seed}")))
    assert main(["keypoints", "merge", *runs, "--tracks", "4", "--out", str(tmp_path / "out")]) == 2
    assert "whose status is peak" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_keypoints_that_are_never_active_are_not_kept(videos: str, tmp_path: Path) -> None:
    for seed in range(2):
        torch.manual_seed(seed)
        encoder = KeypointEncoder(EncoderConfig.for_images(48, 48, num_keypoints=3, gamma=0.0))
        norm = encoder.network[17]
        assert isinstance(norm, torch.nn.BatchNorm2d)
        norm.weight.data[seed] = 0.0
        norm.bias.data[seed] = -1e6  # softplus gives 0: not above γ
        encoder.save_pretrained(tmp_path / f"seed{seed}")
    runs = [str(tmp_path / f"seed{seed}") for seed in range(2)]
    out = tmp_path / "merged"
    assert main(["keypoints", "merge", *runs, "--data", videos, "--keep", "4", "--out", str(out)]) == 0
    record = json.loads((out / "merge.json").read_text())
    assert [part["keypoints"] for part in record["kept"]] == [[1, 2], [0, 2]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{a}", "{b}"], "where to?"),
        (["--out", "{out}"], "which encoders"),
        (["{a}", "--out", "{out}"], "two encoders at least"),
        (["{a}", "{b}", "--keep", "3", "--out", "{out}"], "'keep' must be a multiple of 2"),
        (["{a}", "{b}", "--keep", "10", "--out", "{out}"], "up to 8"),
        (["{a}", "magical", "--out", "{out}"], "encoder 2 has num_keypoints = 25"),
        (["{a}", "nowhere", "--out", "{out}"], "nowhere"),
        (["{a}", "{b}", "--out", "{a}"], "holds an encoder"),
        (["{a}", "{b}", "--looked-at", "0", "--out", "{out}"], "'looked_at' must be at least 1"),
        (["{a}", "{b}", "--tracks", "0", "--out", "{out}"], "'tracks' must be at least 1"),
        (["{a}", "{b}", "--data", "{out}/no.mp4", "--out", "{out}"], "no.mp4"),
    ],
)
def test_what_it_refuses(
    words: list[str], message: str, runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tmp_path / "seed0" / "model.safetensors").read_bytes()
    out = tmp_path / "out"
    filled = [word.format(out=out, a=runs[0], b=runs[1]) for word in words]
    assert main(["keypoints", "merge", *filled]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()
    assert (tmp_path / "seed0" / "model.safetensors").read_bytes() == before
