"""Trained encoders, wherever they come from."""

from __future__ import annotations

from pathlib import Path

from mint_rl.keypoints.encoder import KeypointEncoder
from mint_rl.keypoints.published import load_published


def load_encoder(source: str | Path | KeypointEncoder) -> KeypointEncoder:
    """A trained encoder, frozen and in evaluation mode.

    source: a shipped name, a folder written by `save_pretrained`, a hub id ("user/name"), one of the authors'
    state dicts (`.pt`), or an encoder, which is frozen and returned. Raises `UserError`, in a sentence, for
    anything else.
    """
    if isinstance(source, KeypointEncoder):
        encoder = source
    elif Path(source).is_file() and Path(source).suffix in (".pt", ".pth"):
        encoder = load_published(source)
    else:
        encoder = KeypointEncoder.from_pretrained(source)
    return encoder.eval().requires_grad_(False)
