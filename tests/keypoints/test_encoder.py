"""The encoder: its size and geometry, what it reads off feature maps, its folder, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mint_rl.errors import UserError
from mint_rl.keypoints.descriptors import sample_at
from mint_rl.keypoints.encoder import KeypointEncoder, UnfoldConv2d
from mint_rl.keypoints.encoder_config import FORMAT_VERSION, EncoderConfig
from mint_rl.keypoints.encoder_files import shipped_encoders
from mint_rl.keypoints.gate import (
    box_mean,
    choose_gate,
    entropy_around,
    entropy_at,
    entropy_image,
    otsu_threshold,
)
from mint_rl.keypoints.pretrained import load_encoder
from mint_rl.keypoints.resize import resize_frames


def _encoder(seed: int = 0, **settings: object) -> KeypointEncoder:
    """Untrained, with BatchNorm statistics that do something, and active keypoints."""
    torch.manual_seed(seed)
    encoder = KeypointEncoder(EncoderConfig(**{"gamma": 2.0, **settings}))  # type: ignore[arg-type]
    for module in encoder.network:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return encoder.eval()


def _frames(number: int, side: int = 96, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, side, side, 3), np.uint8)


def test_number_of_parameters() -> None:
    """The paper's count (appendix A.1), for this geometry and for the authors'."""
    for config in (EncoderConfig(), EncoderConfig.published(96, 96), EncoderConfig.for_images(320, 420)):
        assert sum(p.numel() for p in KeypointEncoder(config).parameters()) == 58_725


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (EncoderConfig(), (64, 64)),
        (EncoderConfig.published(96, 96), (135, 135)),
        (EncoderConfig.published(320, 480), (119, 171)),
        (EncoderConfig.for_images(240, 320), (80, 108)),
    ],
)
def test_feature_map_size(config: EncoderConfig, size: tuple[int, int]) -> None:
    encoder = KeypointEncoder(config).eval()
    with torch.no_grad():
        maps = encoder.network(torch.zeros(1, 3, *config.image_size))
    assert maps.shape == (1, 25, *size)


def test_the_window_is_for_inference_alone() -> None:
    encoder, frames = _encoder(), torch.from_numpy(_frames(1))
    with torch.no_grad():
        plain = encoder(frames).coordinates
        encoder.config = dataclasses.replace(encoder.config, window=0.05)
        assert not torch.equal(encoder(frames).coordinates, plain)
        statistics = encoder.train()(frames).coordinates
        encoder.config = dataclasses.replace(encoder.config, window=None)
        assert torch.equal(encoder(frames).coordinates, statistics)


def test_status_is_a_threshold_on_the_peak() -> None:
    encoder = _encoder()
    with torch.no_grad():
        found = encoder(torch.from_numpy(_frames(2)))
        middle = float(found.peaks.median())
        encoder.config = dataclasses.replace(encoder.config, gamma=middle - 1e-3)
        again = encoder(torch.from_numpy(_frames(2)))
    torch.testing.assert_close(again.status, torch.sigmoid(1000 * (found.peaks - (middle - 1e-3))))
    assert 0 < (again.status > 0.5).float().mean() < 1


def test_normalisation_is_part_of_the_configuration() -> None:
    frames = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    ours = KeypointEncoder().normalise(frames).flatten()
    theirs = KeypointEncoder(EncoderConfig.published(96, 96)).normalise(frames).flatten()
    torch.testing.assert_close(ours, torch.tensor([-0.5, 0.5 / 255, 0.5]))
    torch.testing.assert_close(theirs, torch.tensor([-1.0, 255.0, 509.0]))


def test_descriptors_are_bilinear_samples_of_the_bottleneck() -> None:
    encoder = _encoder()
    frames = torch.from_numpy(_frames(2))
    with torch.no_grad():
        found = encoder(frames, descriptors=True)
        bottleneck = encoder.network[:12](encoder.normalise(frames))
    assert bottleneck.shape == (2, 50, 16, 16)
    assert found.descriptors.shape == (2, 25, 50)
    frame, keypoint = 1, 7
    x, y = (found.coordinates[frame, keypoint] * 15).tolist()
    left, top = min(int(x), 14), min(int(y), 14)
    a, b = x - left, y - top
    corner = bottleneck[frame, :, top : top + 2, left : left + 2]
    expected = (1 - b) * ((1 - a) * corner[:, 0, 0] + a * corner[:, 0, 1]) + b * (
        (1 - a) * corner[:, 1, 0] + a * corner[:, 1, 1]
    )
    torch.testing.assert_close(found.descriptors[frame, keypoint], expected, rtol=1e-4, atol=1e-4)
    corners = sample_at(bottleneck, torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]).expand(2, 2, 2))
    torch.testing.assert_close(corners[:, 0], bottleneck[:, :, 0, 0])
    torch.testing.assert_close(corners[:, 1], bottleneck[:, :, 15, 15])


def test_encode_is_forward_in_evaluation_mode() -> None:
    encoder = _encoder()
    frames = _frames(11)
    encoder.train()
    with torch.no_grad():
        result = encoder.encode(frames, descriptors=True)
    assert encoder.training
    assert result.dtype == np.float32
    assert result.shape == (11, 25, 53)
    encoder.eval()
    with torch.no_grad():
        whole = encoder(torch.from_numpy(frames), descriptors=True).to_tensor().numpy()
    np.testing.assert_allclose(result, whole, atol=1e-4)
    np.testing.assert_allclose(encoder.encode(frames[3]), result[3, :, :3], atol=1e-4)
    assert encoder.encode(frames[:0]).shape == (0, 25, 3)
    assert (result[..., :3] >= 0).all()
    assert (result[..., :3] <= 1).all()


def test_a_frame_alone_gives_what_it_gives_in_a_batch() -> None:
    """The status multiplies a difference between feature maps by a thousand: they may not differ at all."""
    for encoder in (_encoder(gate=0.1, window=0.2), _encoder(up_strides=(2, 2, 2), up_padding=0)):
        frames = _frames(7)
        together = encoder.encode(frames, descriptors=True)
        alone = np.stack([encoder.encode(frame, descriptors=True) for frame in frames])
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)
        one, all_maps = (encoder(torch.from_numpy(part)).peaks for part in (frames[:1], frames))
        torch.testing.assert_close(one, all_maps[:1], rtol=0, atol=1e-7)


def test_encode_resizes_by_area_averaging() -> None:
    encoder = _encoder()
    large = _frames(2, 384)
    means = large.reshape(2, 96, 4, 96, 4, 3).mean((2, 4))
    small = resize_frames(large, (96, 96))
    assert np.abs(small - means).max() <= 0.5
    np.testing.assert_array_equal(encoder.encode(large), encoder.encode(small))


def test_unfolded_convolution_is_the_convolution() -> None:
    torch.manual_seed(0)
    ours, plain = UnfoldConv2d(3, 7, 5, 3, padding=1), nn.Conv2d(3, 7, 5, 3, padding=1)
    plain.load_state_dict(ours.state_dict())
    images, wanted = torch.randn(2, 3, 32, 41), torch.randn(2, 7, 10, 13)
    for convolution in (ours, plain):
        (convolution(images) * wanted).sum().backward()
    torch.testing.assert_close(ours(images), plain(images), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.bias.grad, plain.bias.grad, rtol=1e-4, atol=1e-4)


def test_gate_reads_the_mean_entropy_around_a_keypoint() -> None:
    frame = np.zeros((1, 40, 40, 3), np.uint8)
    frame[0, 10:20, 10:20] = 255
    frames = torch.from_numpy(frame)
    entropy = entropy_image(frames)
    pixels = torch.tensor([[[12.2, 12.6], [34.0, 30.0], [0.0, 0.0]]])
    mean = entropy_around(entropy, pixels, 9)
    assert mean[0, 0].item() == pytest.approx(float(entropy[0, 9:18, 8:17].mean()), abs=1e-6)
    assert mean[0, 1] == 0.0
    assert mean[0, 2].item() == pytest.approx(float(entropy[0, :5, :5].mean()), abs=1e-6)
    everywhere = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="xy"), -1)
    torch.testing.assert_close(
        entropy_around(entropy, everywhere.view(1, -1, 2), 9), box_mean(entropy, 9).view(1, -1)
    )
    assert entropy[0, 9:18, 8:17].max() > 0.5


@pytest.mark.parametrize(
    ("shape", "region", "size"),
    [((3, 40, 57, 3), 3, 9), ((2, 30, 31, 1), 5, 7), ((2, 12, 13, 3), 11, 1), ((2, 20, 1, 3), 3, 9)],
)
def test_the_gates_kernel_gives_what_its_definition_gives(
    shape: tuple[int, int, int, int], region: int, size: int
) -> None:
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    frames[:, 5:9] = 130
    last = torch.tensor([shape[2] - 1.0, shape[1] - 1.0])
    pixels = torch.rand(shape[0], 25, 2, generator=torch.Generator().manual_seed(0)) * last
    pixels[:, 0], pixels[:, 1] = 0.0, last
    ours = entropy_at(frames, pixels, "binarise", region, size)
    wanted = entropy_around(entropy_image(frames, "binarise", region), pixels, size)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-6)
    assert ours.std() > 0.01
    plain = entropy_at(frames, pixels, "none", region, size)
    torch.testing.assert_close(plain, entropy_around(entropy_image(frames, "none", region), pixels, size))


def test_the_gate_is_chosen_between_blank_ground_and_objects() -> None:
    frames = np.full((4, 60, 60, 3), 200, np.uint8)
    for t in range(4):
        frames[t, 10 + 5 * t : 24 + 5 * t, 20:34] = (220, 30, 40)
    entropy = entropy_image(torch.from_numpy(frames))
    gate = choose_gate(entropy, 9)
    inside = box_mean(entropy, 9)[0, 17, 27]
    assert 0.05 < gate < inside
    groups = torch.tensor([0.0, 0.1, 0.1, 0.2, 0.9, 1.0, 1.0])
    assert 0.2 <= otsu_threshold(groups) < 0.9
    assert otsu_threshold(torch.ones(5)) == 1.0


def test_gate_switches_off_what_lies_in_blank_space_but_not_in_training() -> None:
    encoder = _encoder(gamma=-1.0)
    blank = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    busy = torch.from_numpy(_frames(1))
    encoder.config = dataclasses.replace(encoder.config, gate=0.16)
    with torch.no_grad():
        assert encoder(blank).status.max() == 0.0
        assert encoder(busy).status.min() > 0.99
        assert encoder.train()(blank).status.min() > 0.99


def test_a_saved_encoder_comes_back(tmp_path: Path) -> None:
    encoder = _encoder(gate=0.1, gate_size=7, num_keypoints=6)
    encoder.save_pretrained(tmp_path / "made")
    back = load_encoder(tmp_path / "made")
    assert back.config == encoder.config
    np.testing.assert_array_equal(back.encode(_frames(2)), encoder.encode(_frames(2)))
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())
    assert load_encoder(back) is back
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["config.json", "model.safetensors"]


def test_a_configuration_from_before_the_format_had_a_number_is_read() -> None:
    config = EncoderConfig(gate=0.1, gamma=12.0)
    written = json.loads(json.dumps(config.to_dict()))
    assert written.pop("format_version") == FORMAT_VERSION
    assert EncoderConfig.from_dict(written) == config


def _damage(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    config = folder / "config.json"
    values = json.loads(config.read_text())
    if how == "no weights":
        weights.unlink()
    elif how == "no config":
        config.unlink()
    elif how == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif how == "pickle":
        weights.write_bytes(b"\x80\x04\x95" + bytes(100))
    elif how == "not JSON":
        config.write_text("{")
    elif how == "a list":
        config.write_text("[]")
    elif how == "other shape":
        config.write_text(json.dumps({**values, "num_keypoints": 24}))
    elif how == "unknown key":
        config.write_text(json.dumps({**values, "gama": 3}))
    elif how == "missing key":
        config.write_text(json.dumps({k: v for k, v in values.items() if k != "gamma"}))
    elif how == "newer format":
        config.write_text(json.dumps({**values, "format_version": FORMAT_VERSION + 1}))
    elif how == "wrong type":
        config.write_text(json.dumps({**values, "gamma": "high"}))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no weights", "has no model.safetensors"),
        ("no config", "has no config.json"),
        ("truncated weights", "damaged"),
        ("pickle", "damaged"),
        ("not JSON", "cannot be read as JSON"),
        ("a list", "must hold a JSON object"),
        ("other shape", "asks for|wants"),
        ("unknown key", "did you mean 'gamma'"),
        ("missing key", "'gamma' is missing"),
        ("newer format", "upgrade mint-rl"),
        ("wrong type", "must be numbers"),
    ],
)
def test_a_damaged_folder_is_one_sentence(tmp_path: Path, how: str, words: str) -> None:
    _encoder().save_pretrained(tmp_path)
    _damage(tmp_path, how)
    with pytest.raises(UserError, match=words) as caught:
        load_encoder(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    encoder = _encoder()
    with torch.no_grad():
        encoder.network[0].weight[0, 0, 0, 0] = float("nan")
    encoder.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="not finite"):
        load_encoder(tmp_path)


def test_unknown_names_and_places(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown encoder 'magicul'"):
        load_encoder("magicul")
    with pytest.raises(UserError, match="there is no encoder folder"):
        load_encoder(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        load_encoder(tmp_path / "file")


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((96, 96, 3), np.float32), "float32"),
        (np.zeros((96, 96), np.uint8), r"\(96, 96\)"),
        (np.zeros((2, 96, 96, 4), np.uint8), "4"),
        (np.zeros((0, 96, 3), np.uint8), "a side is 0"),
    ],
)
def test_what_is_no_frame_is_refused(frames: np.ndarray, words: str) -> None:
    with pytest.raises(UserError, match=words):
        _encoder().encode(frames)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_keypoints": 0},
        {"image_size": (96,)},
        {"image_size": (4, 4)},
        {"down_strides": "321"},
        {"up_padding": 2},
        {"gate_size": 4},
        {"pixel_scale": 0},
        {"window": 0.0},
        {"region": 4},
        {"preprocessing": "sharp"},
        {"heatmap": "hard"},
        {"status": "sometimes"},
        {"status_slope": float("nan")},
        {"num_keypoints": 2.5},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        EncoderConfig(**settings)  # type: ignore[arg-type]


def _reference_weights() -> Path:
    folder = os.environ.get("MINT_RL_REFERENCE_WEIGHTS")
    if not folder:
        pytest.skip("MINT_RL_REFERENCE_WEIGHTS does not name a folder of published weights")
    return Path(folder)


@pytest.mark.parametrize(("name", "size"), [("MINT_MAGICAL.pt", (96, 96)), ("MINT_CLEVRER.pt", (320, 480))])
def test_published_weights_give_what_the_authors_network_gives(name: str, size: tuple[int, int]) -> None:
    """Their layers, written out again from the state dict's keys, against our module."""
    path = _reference_weights() / name
    encoder = load_encoder(path)
    assert encoder.config.image_size == size
    state = torch.load(path, map_location="cpu", weights_only=True)
    frames = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    x = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 0.5) / 0.5
    down = (3, 2, 1) if size == (96, 96) else (3, 2, 2)
    up = (2, 2, 2) if size == (96, 96) else (1, 2, 2)
    for layer, stride in zip((0, 3, 6, 9, 12, 15), (*down, *up), strict=True):
        weight, bias = state[f"model.{layer}.weight"], state[f"model.{layer}.bias"]
        if layer < 9:
            x = functional.conv2d(x, weight, bias, stride, padding=1)
        else:
            x = functional.conv_transpose2d(x, weight, bias, stride)
        x = functional.leaky_relu(x, 0.01)
        norm = {k: state[f"model.{layer + 2}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")}
        x = functional.batch_norm(x, **norm)
    maps = functional.softplus(x)
    columns, rows = (
        state["coordinates_from_feature_maps.x_grid"],
        state["coordinates_from_feature_maps.y_grid"],
    )
    share = torch.softmax(maps.flatten(2), 2)
    place = torch.stack([(share * columns).sum(2) / columns.max(), (share * rows).sum(2) / rows.max()], 2)
    found = encoder(torch.from_numpy(frames))
    torch.testing.assert_close(found.coordinates, place, rtol=1e-4, atol=5e-4)
    torch.testing.assert_close(found.peaks, maps.amax((2, 3)), rtol=1e-4, atol=1e-4)


def test_other_pt_files_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a state dict of the published"):
        load_encoder(tmp_path / "other.pt")
    torch.save({"code": print}, tmp_path / "code.pt")
    with pytest.raises(UserError, match="cannot be read"):
        load_encoder(tmp_path / "code.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(UserError, match="cannot be read"):
        load_encoder(tmp_path / "junk.pt")


def test_shipped_encoders_load() -> None:
    keypoints = {"magical": 25, "magical-dense": 25, "magical-tracking": 60}
    assert set(shipped_encoders()) == set(keypoints)
    for name in keypoints:
        assert load_encoder(name).config.num_keypoints == keypoints[name]
        assert load_encoder(name).config.tracks == (32 if name == "magical-tracking" else None)
        assert (
            Path(load_encoder.__code__.co_filename).parent.parent / "weights" / name / "README.md"
        ).exists()
