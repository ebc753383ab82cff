"""Encoders with other inference settings than those they were saved with, named in a word.

`magical:gamma=12,gate=none` is the shipped encoder at γ = 12 without its entropy gate. Only what acts at
inference can be set: γ, the gate, the window, the tracks of a video, as in `tracks=32` or `tracks=none`, and
the descriptors, as `descriptors=maps4` or `descriptors=crops123` for features of those stages (see
`EncoderConfig`).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from mint_rl.errors import UserError, unknown_name
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.pretrained import load_encoder

SETTINGS = ("gamma", "gate", "window", "tracks", "descriptors")
_DESCRIPTORS = re.compile(r"(?P<kind>maps|crops)(?P<stages>[1-6]+)")
_WORD = re.compile(r"(?P<source>.+?)(?::(?P<settings>\w+=.*))?")


def load_with_settings(word: str) -> KeypointEncoder:
    """The encoder that `word` names: what `load_encoder` takes, then perhaps `:gamma=15,gate=none`.

    Raises `UserError` for an unknown encoder or setting, or a value that it cannot have.
    """
    match = _WORD.fullmatch(word)
    if match is None:
        raise UserError("an encoder needs a name, a folder or a file, got an empty word")
    encoder = load_encoder(match["source"])
    changes: dict[str, Any] = {}
    for part in (match["settings"] or "").split(","):
        if not part:
            continue
        name, _, value = part.partition("=")
        if name not in SETTINGS:
            raise unknown_name("inference setting", name, SETTINGS)
        if name == "descriptors":
            changes |= _descriptors(value, word)
            continue
        whole = name == "tracks"
        try:
            if value == "none" and name != "gamma":
                changes[name] = None
            else:
                changes[name] = int(value) if whole else float(value)
        except ValueError as error:
            kind = "whole number" if whole else "number"
            raise UserError(f"the encoder '{word}' sets {name} to '{value}', which is no {kind}") from error
    encoder.config = dataclasses.replace(encoder.config, **changes)
    return encoder


def source_of(word: str) -> str:
    """The encoder's name, folder or file in a word that may go on with settings."""
    match = _WORD.fullmatch(word)
    return match["source"] if match else word


def _descriptors(value: str, word: str) -> dict[str, Any]:
    match = _DESCRIPTORS.fullmatch(value)
    if match is None:
        raise UserError(
            f"the encoder '{word}' sets descriptors to '{value}': write maps or crops and the stages, as in "
            "maps4 or crops123"
        )
    return {
        "descriptor_crops": match["kind"] == "crops",
        "descriptor_stages": tuple(int(stage) for stage in match["stages"]),
    }


def describe_settings(encoder: KeypointEncoder) -> str:
    """γ, window, gate and tracks in a few words."""
    config = encoder.config
    window = "none" if config.window is None else f"{config.window:g}"
    gate = "none" if config.gate is None else f"{config.gate:.3g}"
    tracks = "" if config.tracks is None else f", {config.tracks} tracks"
    return f"γ {config.gamma:g}, window {window}, gate {gate}{tracks}"
