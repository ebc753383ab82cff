"""Exported encoders and policies give what they give here, in onnxruntime and in plain PyTorch."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mint_rl.cli import main
from mint_rl.envs.keypoint_obs import keypoint_space
from mint_rl.errors import UserError
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.encoder_config import EncoderConfig
from mint_rl.policies.base import ImitationPolicy, PolicyContext
from mint_rl.policies.checkpoint import save_policy
from mint_rl.policies.cnn import CNNConfig
from mint_rl.policies.interaction import InteractionConfig
from mint_rl.policies.registry import policy_class
from mint_rl.training.export import DESCRIPTION, ExportConfig, export, export_encoder, export_policy

K, T, H, W = 4, 2, 18, 24


def scenes(number: int, channels: int = 3) -> NDArray[np.uint8]:
    """Bright rectangles on a plain ground, so that some places have entropy and others none."""
    rng = np.random.default_rng(0)
    frames = np.full((number, H, W, channels), 230, np.uint8)
    for frame in frames:
        for _ in range(2):
            top, left = rng.integers(0, (H - 5, W - 5))
            frame[top : top + 5, left : left + 5] = rng.integers(0, 256, channels)
    return frames


def make_encoder(**changes: Any) -> KeypointEncoder:
    """Random weights, statistics of its frames, and γ in the middle of the peaks: half are active."""
    torch.manual_seed(0)
    settings = {"num_keypoints": K, "window": 0.3, "gate": 0.5, "gate_size": 3, **changes}
    encoder = KeypointEncoder(EncoderConfig.for_images(H, W, **settings))
    frames = torch.from_numpy(scenes(16, encoder.config.in_channels))
    for _ in range(20):
        encoder(frames)
    encoder.eval().requires_grad_(False)
    encoder.config = replace(encoder.config, gamma=float(encoder(frames).peaks.median()))
    return encoder


def make_policy(name: str) -> ImitationPolicy:
    config = InteractionConfig(hidden=8) if name == "interaction" else CNNConfig(width=0.05)
    encoder = make_encoder() if name == "interaction" else None
    space: spaces.Space[Any] = spaces.Box(0, 255, (T, H, W, 3), np.uint8)
    if encoder is not None:
        space = batch_space(keypoint_space(K, encoder.descriptor_dim), T)
    torch.manual_seed(1)
    policy = policy_class(name)(space, spaces.Discrete(5), config=config)
    policy.context = PolicyContext("some/Env-v0", {}, encoder, "tiny")
    policy.set_training_mode(False)
    return policy


def assert_gated(encoder: KeypointEncoder) -> None:
    """The gate takes some keypoints of `scenes` and leaves others; else a test of it shows nothing."""
    frames = scenes(16, encoder.config.in_channels)
    gated = encoder.encode(frames)[..., 2] > 0.5
    settings = encoder.config
    encoder.config = replace(settings, gate=None)
    free = encoder.encode(frames)[..., 2] > 0.5
    encoder.config = settings
    assert 0 < gated.sum() < free.sum()


def test_a_policy_with_its_encoder_gives_the_same_logits_and_keypoints(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    policy = make_policy("interaction")
    assert policy.context is not None
    encoder = policy.context.encoder
    assert encoder is not None
    assert_gated(encoder)
    exported = export_policy(policy)

    frames = scenes(6).reshape(3, T, H, W, 3)
    keypoints = encoder.encode(frames.reshape(-1, H, W, 3), descriptors=True).reshape(3, T, K, -1)
    with torch.no_grad():
        logits = policy.imitate(torch.from_numpy(keypoints))[0].numpy()
    exported.save(tmp_path / "policy.onnx", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx", providers=["CPUExecutionProvider"])
    assert {value.shape[0] for value in session.get_inputs() + session.get_outputs()} == {"batch"}
    program = exported.program.module()
    for batch in (3, 1):
        part = frames[:batch]
        for found in (session.run(None, {"frames": part}), program(torch.from_numpy(part))):
            np.testing.assert_allclose(found[0], logits[:batch], atol=1e-4)
            np.testing.assert_allclose(found[1], keypoints[:batch], atol=1e-4)

    # Nothing of ours is left in it.
    operators = {str(node.target) for node in exported.program.graph.nodes if node.op == "call_function"}
    assert len(operators) > 10
    assert all(operator.startswith("aten.") for operator in operators if "." in operator), operators


def test_the_command_writes_an_encoder_that_tells_about_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    # Grey images that are not binarised: their entropy takes the general way.
    encoder = make_encoder(preprocessing="none", in_channels=1, gate=0.2)
    assert_gated(encoder)
    encoder.save_pretrained("tiny")
    assert main(["export", "tiny:window=0.25"]) == 0
    said = f"frames uint8 (N, {H}, {W}, 1) → keypoints float32 (N, {K}, 3): 'tiny.onnx'"
    assert said in capsys.readouterr().out
    model = onnx.load("tiny.onnx")
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} == {""}
    description = json.loads({entry.key: entry.value for entry in model.metadata_props}[DESCRIPTION])
    assert (description["encoder"]["window"], description["encoder"]["gate"]) == (0.25, 0.2)

    encoder.config = replace(encoder.config, window=0.25)
    frames = scenes(16, channels=1)
    (found,) = onnxruntime.InferenceSession("tiny.onnx").run(None, {"frames": frames})
    np.testing.assert_allclose(found, encoder.encode(frames), atol=1e-4)

    before = Path("tiny.onnx").read_bytes()
    assert main(["export", "tiny"]) == 2
    assert "choose another --out, or pass --overwrite" in capsys.readouterr().err
    assert Path("tiny.onnx").read_bytes() == before


def test_a_run_folder_is_exported_as_a_policy(tmp_path: Path) -> None:
    policy = make_policy("cnn")
    save_policy(policy, tmp_path / "run" / "policy")
    said: list[str] = []
    out = tmp_path / "new" / "policy.pt2"
    export(ExportConfig(str(tmp_path / "run"), "torch", str(out)), say=said.append)
    assert "logits float32 (N, 5)" in said[0]
    description = {DESCRIPTION: ""}
    program = torch.export.load(out, extra_files=description)
    assert json.loads(description[DESCRIPTION])["policy"] == "cnn"
    frames = torch.from_numpy(scenes(6).reshape(3, T, H, W, 3))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(frames)[0], policy.imitate(frames)[0])


def test_a_keypoint_policy_needs_its_encoder() -> None:
    policy = make_policy("interaction")
    policy.context = None
    with pytest.raises(UserError, match="comes without an encoder"):
        export_policy(policy)


def test_tracks_are_not_exported(tmp_path: Path) -> None:
    """An encoder is, frame by frame; a policy that reads tracks is refused."""
    policy = make_policy("interaction")
    assert policy.context is not None
    assert policy.context.encoder is not None
    encoder = policy.context.encoder
    encoder.config = replace(encoder.config, tracks=K)
    with pytest.raises(UserError, match="this policy reads tracks"):
        export_policy(policy)
    frames = torch.from_numpy(scenes(3))
    program = export_encoder(encoder).program.module()
    torch.testing.assert_close(program(frames), encoder(frames).to_tensor(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name an encoder or a run folder"),
        (["magical", "--format", "tensorflow"], "unknown format 'tensorflow'; known: onnx, torch"),
        (["magicel"], "unknown encoder 'magicel' (did you mean 'magical'?)"),
        (["magical", "--out", "taken/x.onnx"], "cannot write to the folder 'taken'"),
        (["magical", "--format", "torch", "--out", "x.onnx"], "must end in .pt2"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    assert main(["export", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'mint-rl\[onnx\]'"):
        export(ExportConfig("magical", out=str(tmp_path / "x.onnx")))
