"""Merged encoders: they find what each of them finds, and keep the keypoints that cover most."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.keypoints.heatmaps import heatmap_area
from mint_rl.keypoints.merging import choose_keypoints, covered, merge
from mint_rl.keypoints.mint import MintLossConfig


def _encoder(seed: int, **settings: object) -> KeypointEncoder:
    """Untrained, with BatchNorm statistics that do something, and active keypoints."""
    torch.manual_seed(seed)
    encoder = KeypointEncoder(EncoderConfig(**{"num_keypoints": 6, "gamma": 2.0, **settings}))  # type: ignore[arg-type]
    for norm in encoder.network[2::3]:
        assert isinstance(norm, nn.BatchNorm2d)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(std=0.1)
    norm.weight.data.mul_(15.0)  # maps with peaks, so that keypoints differ
    return encoder.eval()


def _frames(number: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 96, 96, 3), np.uint8)


def test_a_merged_encoder_finds_what_each_finds(tmp_path: Path) -> None:
    encoders, kept = [_encoder(seed) for seed in range(3)], [[0, 5], [2, 1], [3, 4]]
    merged = merge(encoders, kept)
    merged.save_pretrained(tmp_path)
    assert merged.num_keypoints == 6
    found = KeypointEncoder.from_pretrained(tmp_path).encode(_frames())
    expected = [one.encode(_frames())[:, numbers] for one, numbers in zip(encoders, kept, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected, 1), rtol=0, atol=1e-4)
    assert found[..., 2].sum() > 0
    assert not np.allclose(expected[0], expected[1], atol=0.01)


@pytest.mark.parametrize(("crops", "stages"), [(True, (1, 2, 3)), (False, (4,)), (False, (2, 6))])
def test_its_descriptors_are_those_of_all_trunks(crops: bool, stages: tuple[int, ...]) -> None:
    settings = {"descriptor_crops": crops, "descriptor_stages": stages}
    encoders = [_encoder(seed, **settings) for seed in range(2)]
    merged = merge(encoders, [[0, 1, 2], [3, 4, 5]])
    frames, places = torch.from_numpy(_frames()), torch.rand(3, 6, 2)
    found = merged.describe(frames, places)
    assert found.shape == (3, 6, merged.descriptor_dim)
    first, second = (one.describe(frames, places) for one in encoders)
    # Stage by stage, the trunks one after another; the last stage has the kept maps alone.
    widths = [6 * times for times in (1, 1, 2, 2, 1, 1)]
    parts, start = [], 0
    for stage in stages:
        for number, one in enumerate((first, second)):
            part = one[..., start : start + widths[stage - 1]]
            parts.append(part[..., 3 * number : 3 * number + 3] if stage == 6 else part)
        start += widths[stage - 1]
    torch.testing.assert_close(found, torch.cat(parts, -1), rtol=1e-4, atol=1e-5)


def test_a_heatmap_covers_its_area() -> None:
    keypoints = torch.tensor([[[0.5, 0.5, 1.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.9]]])
    cover = covered(keypoints, (97, 97), MintLossConfig(sigma=8.0))
    assert cover.shape == (1, 3, 97, 97)
    assert float(cover[0, 0].sum()) == pytest.approx(heatmap_area(8.0, 0.15, 3.5), rel=1e-5)
    assert float(cover[0, 1].sum()) == 0.0
    assert float(cover[0, 2, 96, 0]) == 1.0
    assert float(cover[0, 2, 0].sum()) == 0.0


def test_the_keypoint_that_covers_most_comes_first_and_copies_of_it_last() -> None:
    cover = torch.zeros(1, 4, 1, 6)
    cover[0, 0, 0, :3] = 1.0
    cover[0, 1, 0, :3] = 1.0  # as keypoint 0
    cover[0, 2, 0, 3] = 1.0
    cover[0, 3, 0, 4:] = 1.0
    kept, shares = choose_keypoints(cover, torch.ones(1, 1, 6), trunks=1, keep=3)
    assert kept == [[0, 2, 3]]
    np.testing.assert_allclose(shares, [3 / 6, 5 / 6, 1.0], atol=1e-6)


def test_each_encoder_gives_as_many() -> None:
    cover = torch.zeros(1, 4, 1, 4)
    for keypoint, pixels in enumerate(([0, 1], [2, 3], [0], [1])):
        cover[0, keypoint, 0, pixels] = 1.0
    kept, shares = choose_keypoints(cover, torch.ones(1, 1, 4), trunks=2, keep=2)
    assert kept == [[0], [0]]  # keypoint 1 would cover more than those of the second encoder
    np.testing.assert_allclose(shares, [0.5, 0.5], atol=1e-6)


def test_the_choice_is_nearly_the_best_there_is() -> None:
    rng = torch.Generator().manual_seed(0)
    cover, entropy = torch.rand(3, 8, 4, 5, generator=rng) ** 4, torch.rand(3, 4, 5, generator=rng)
    kept, shares = choose_keypoints(cover, entropy, trunks=1, keep=3)

    def share(numbers: tuple[int, ...]) -> float:
        mask = cover[:, list(numbers)].sum(1).clamp(max=1.0)
        return float(((mask * entropy).sum((1, 2)) / entropy.sum((1, 2))).mean())

    every = [share(numbers) for numbers in itertools.combinations(range(8), 3)]
    assert shares[-1] == pytest.approx(share(tuple(kept[0])), abs=1e-6)
    assert shares[-1] >= (1 - 1 / np.e) * max(every)
    assert shares[-1] > np.mean(every)


def test_frames_without_entropy_count_nothing() -> None:
    kept, shares = choose_keypoints(torch.ones(2, 2, 2, 2), torch.zeros(2, 2, 2), trunks=1, keep=1)
    assert len(kept[0]) == 1
    assert np.isfinite(shares).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_keypoints": 5}, "encoder 2 has num_keypoints = 5 and the first 6"),
        ({"image_size": (64, 64)}, "image_size"),
        ({"pixel_mean": 0.5}, "pixel_mean"),
        ({"status": "always"}, "status"),
    ],
)
def test_encoders_of_other_kinds_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        merge([_encoder(0), _encoder(1, **settings)], [[0], [0]])


def test_what_cannot_be_merged() -> None:
    with pytest.raises(UserError, match="two encoders at least, got 1"):
        merge([_encoder(0)], [[0]])
    merged = merge([_encoder(0), _encoder(1)], [[0], [0]])
    with pytest.raises(UserError, match="encoder 2 is a merged one"):
        merge([_encoder(0), merged], [[0], [0]])
    with pytest.raises(UserError, match="as many keypoints must be kept"):
        merge([_encoder(0), _encoder(1)], [[0], [0, 1]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_keypoints": 5, "trunks": 2}, "each trunk finds as many"),
        ({"trunks": 0}, "trunks"),
        ({"channels": 0}, "channels"),
        ({"network": "skeleton", "trunks": 5, "edges": ((0, 1),)}, "trunks and channels"),
    ],
)
def test_configurations_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EncoderConfig(**settings)  # type: ignore[arg-type]


def test_an_encoder_of_one_trunk_is_as_before() -> None:
    """The same random weights and keypoints whether its channels are said or not."""
    plain = _encoder(0)
    said = _encoder(0, channels=6)
    np.testing.assert_array_equal(plain.encode(_frames()), said.encode(_frames()))
    assert dataclasses.replace(said.config, channels=None) == plain.config
