"""Encoders with other inference settings than those they were saved with, named in a word.

`magical:gamma=12,gate=none` is the shipped encoder at γ = 12 without its entropy gate. Only what acts at
inference can be set: γ, the gate and the window.
"""

from __future__ import annotations

import dataclasses
import re

from mint_rl.errors import UserError, unknown_name
from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.pretrained import load_encoder

SETTINGS = ("gamma", "gate", "window")
_WORD = re.compile(r"(?P<source>.+?)(?::(?P<settings>\w+=.*))?")


def load_with_settings(word: str) -> KeypointEncoder:
    """The encoder that `word` names: what `load_encoder` takes, then perhaps `:gamma=15,gate=none`.

    Raises `UserError` for an unknown encoder or setting, or a value that is no number.
    """
    match = _WORD.fullmatch(word)
    if match is None:
        raise UserError("an encoder needs a name, a folder or a file, got an empty word")
    encoder = load_encoder(match["source"])
    changes: dict[str, float | None] = {}
    for part in (match["settings"] or "").split(","):
        if not part:
            continue
        name, _, value = part.partition("=")
        if name not in SETTINGS:
            raise unknown_name("inference setting", name, SETTINGS)
        try:
            changes[name] = None if value == "none" and name != "gamma" else float(value)
        except ValueError as error:
            raise UserError(f"the encoder '{word}' sets {name} to '{value}', which is no number") from error
    encoder.config = dataclasses.replace(encoder.config, **changes)  # type: ignore[arg-type]
    return encoder


def describe_settings(encoder: KeypointEncoder) -> str:
    """γ, window and gate in a few words."""
    config = encoder.config
    window = "none" if config.window is None else f"{config.window:g}"
    gate = "none" if config.gate is None else f"{config.gate:.3g}"
    return f"γ {config.gamma:g}, window {window}, gate {gate}"
