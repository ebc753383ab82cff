"""The verb that makes files for others."""

from __future__ import annotations

from typing import Any

from mint_rl.cli.parser import DONE, Verb


def _export(config: Any) -> int:
    from mint_rl.training.export import export

    export(config)
    return DONE


VERBS = {
    "export": Verb(
        "write an encoder, or an encoder and its policy, as one file that runs without mint-rl",
        (
            "mint-rl export magical --format onnx",
            "mint-rl export runs/encoder --descriptors --out encoder.onnx",
            "mint-rl export runs/demo --format torch --out corner.pt2",
        ),
        _export,
        config="export",
        positional="source",
    ),
}
