"""`mint-rl export`: an encoder, or an encoder and a policy, as one file that runs without this package.

What is exported is the encoder's own forward pass, traced by PyTorch, with γ, window and entropy gate as they
are set; the local-entropy operator alone is replaced by ordinary operations (`mint_rl.entropy.portable`).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mint_rl.entropy.portable import decompositions
from mint_rl.errors import UserError, unknown_name
from mint_rl.files import atomic_path, writable_folder
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.inference_settings import load_with_settings
from mint_rl.options import option
from mint_rl.policies.base import ImitationPolicy
from mint_rl.policies.checkpoint import holds_policy, load_policy

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
DESCRIPTION = "mint_rl.json"  # under this key, or as this file of the archive, a file tells about itself
_PIXELS = "uint8 RGB, as rendered; resize by area averaging where the size is another"


@dataclass
class ExportConfig:
    """What to export, and as what."""

    source: str = option(
        "", "an encoder's name, folder or hub id, as in magical:gamma=12, or a run folder of `mint-rl bc`"
    )
    format: str = option("onnx", "onnx, or torch for a PyTorch program (torch.export)")
    out: str | None = option(None, "the file to write; none: <source>.onnx or .pt2 here")
    descriptors: bool = option(False, "an encoder's keypoints come with their descriptors")
    overwrite: bool = option(False, "replace a file that is already there")

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)
        if self.out is not None and Path(self.out).suffix != FORMATS[self.format]:
            raise UserError(
                f"the file of --format {self.format} must end in {FORMATS[self.format]}, not '{self.out}'"
            )


@dataclass(frozen=True)
class Exported:
    """A program with the names of its inputs and outputs, and what to know about them."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    description: dict[str, Any]

    def save(self, path: str | Path, format: str = "onnx") -> None:
        """Write a single file, atomically: "onnx", or "torch" for `torch.export.load`, which wants .pt2."""
        with atomic_path(path) as temporary, _quiet():
            if format == "onnx":
                _write_onnx(self, temporary)
            else:
                description = {DESCRIPTION: json.dumps(self.description, indent=2)}
                torch.export.save(self.program, temporary, extra_files=description)


def export(config: ExportConfig, say: Callable[[str], None] = print) -> Path:
    """Export an encoder or a policy to a file; returns its path.

    Raises `UserError` for a source that is neither, a file that exists, a folder that cannot be written, and
    where the packages for ONNX are missing.
    """
    if not config.source:
        raise UserError("what to export? name an encoder or a run folder: mint-rl export magical")
    name = Path(config.source.partition(":")[0]).resolve().name
    path = Path(config.out if config.out is not None else f"{name}{FORMATS[config.format]}")
    if path.exists() and not config.overwrite:
        raise UserError(f"'{path}' exists already: choose another --out, or pass --overwrite")
    if config.format == "onnx":
        _require_onnx()
    source = load_policy(config.source) if holds_policy(config.source) else load_with_settings(config.source)
    writable_folder(path.parent)
    if isinstance(source, ImitationPolicy):
        exported = export_policy(source)
    else:
        exported = export_encoder(source, config.descriptors)
    exported.save(path, config.format)
    says = exported.description
    say(f"{says['inputs']} → {says['outputs']}: '{path}', {path.stat().st_size / 1e6:.2f} MB")
    return path


def export_encoder(encoder: KeypointEncoder, descriptors: bool = False) -> Exported:
    """The program of an encoder: frames uint8 (N, H, W, C) of its size → keypoints (N, K, 3[+D]).

    Each frame is read for itself, as by `KeypointEncoder.encode`, also where the encoder has tracks.
    """
    height, width = encoder.config.image_size
    channels = encoder.config.in_channels
    features = 3 + (encoder.descriptor_dim if descriptors else 0)
    frames = torch.zeros(2, height, width, channels, dtype=torch.uint8)
    return Exported(
        _trace(_EncoderProgram(encoder, descriptors), frames, encoder),
        ("frames",),
        ("keypoints",),
        {
            "inputs": f"frames uint8 (N, {height}, {width}, {channels})",
            "outputs": f"keypoints float32 (N, {encoder.num_keypoints}, {features})",
            "frames": _PIXELS,
            "keypoints": "x (right), y (down) in [0, 1], status (active above 0.5), descriptors",
            "encoder": encoder.config.to_dict(),
        },
    )


def export_policy(policy: ImitationPolicy) -> Exported:
    """The program of a policy: the last T frames, uint8 (N, T, H, W, C), oldest first → action logits (N, A).

    A policy that reads keypoints brings its encoder along, and the program returns the keypoints of all T
    frames too, (N, T, K, 3 + D). At the start of an episode its first frame is repeated. Raises `UserError`
    for such a policy without its encoder, or whose encoder has tracks.
    """
    shape = policy.observation_space.shape
    assert shape is not None
    encoder = policy.context.encoder if policy.context is not None else None
    if len(shape) == 3 and encoder is None:
        raise UserError("this policy reads keypoints but comes without an encoder: set policy.context")
    if encoder is not None and encoder.config.tracks is not None:
        raise UserError(
            "this policy reads tracks, which remember earlier frames, and a program starts anew at each "
            "call: train it on keypoints of single frames, as with --encoder magical-tracking:tracks=none"
        )
    config = encoder.config if encoder is not None else None
    size = (*config.image_size, config.in_channels) if config is not None else shape[1:]
    frames = torch.zeros(2, shape[0], *size, dtype=torch.uint8)
    actions = policy.action_net.out_features
    outputs = f"logits float32 (N, {actions})"
    if encoder is not None:
        outputs += f", keypoints float32 (N, {', '.join(map(str, shape))})"
    return Exported(
        _trace(_PolicyProgram(policy, encoder), frames, encoder),
        ("frames",),
        ("logits", "keypoints") if encoder is not None else ("logits",),
        {
            "inputs": f"frames uint8 (N, {shape[0]}, {', '.join(map(str, size))})",
            "outputs": outputs,
            "frames": f"{_PIXELS}; the last {shape[0]}, oldest first, the first one repeated at the start",
            "logits": "of the discrete actions: softmax gives their probabilities",
            "policy": policy.name,
            "policy_config": dataclasses.asdict(policy.config),
            "environment": policy.context.env_id if policy.context is not None else None,
            "encoder": config.to_dict() if config is not None else None,
        },
    )


class _EncoderProgram(nn.Module):
    def __init__(self, encoder: KeypointEncoder, descriptors: bool) -> None:
        super().__init__()
        self.encoder, self.descriptors = encoder, descriptors

    def forward(self, frames: Tensor) -> Tensor:
        keypoints: Tensor = self.encoder(frames, self.descriptors).to_tensor()
        return keypoints


class _PolicyProgram(nn.Module):
    def __init__(self, policy: ImitationPolicy, encoder: KeypointEncoder | None) -> None:
        super().__init__()
        assert policy.observation_space.shape is not None
        self.policy, self.encoder = policy, encoder
        self.descriptors = policy.observation_space.shape[-1] > 3

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        if self.encoder is None:
            return (self.policy.imitate(frames)[0],)
        found = self.encoder(frames.flatten(0, 1), self.descriptors).to_tensor()
        keypoints = found.unflatten(0, frames.shape[:2])
        return self.policy.imitate(keypoints)[0], keypoints


def _trace(
    module: nn.Module, frames: Tensor, encoder: KeypointEncoder | None
) -> torch.export.ExportedProgram:
    """The module's forward pass as a program of PyTorch's own operators, for batches of any size."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    batch = torch.export.Dim("batch", min=1)
    with _quiet(), torch.no_grad():
        program = torch.export.export(module, (frames,), dynamic_shapes=({0: batch},))
        binarised = encoder is not None and encoder.config.preprocessing == "binarise"
        plain: torch.export.ExportedProgram = program.run_decompositions(decompositions(binarised))
    return plain


def _write_onnx(exported: Exported, path: Path) -> None:
    program = torch.onnx.export(
        exported.program, input_names=exported.inputs, output_names=exported.outputs, verbose=False
    )
    assert program is not None
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        assert value.shape is not None
        value.shape[0] = "batch"  # the exporter has a name of its own for it
    program.model.metadata_props[DESCRIPTION] = json.dumps(exported.description)
    program.save(path, external_data=False)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError("--format onnx needs the extra 'onnx': pip install 'mint-rl[onnx]'") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say about themselves: nobody can do anything about it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
