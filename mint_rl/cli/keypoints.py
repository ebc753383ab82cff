"""The verbs about keypoints: how good they are, and what they look like."""

from __future__ import annotations

from typing import Any

from mint_rl.cli.parser import DONE, Verb


def _evaluate(config: Any) -> int:
    from mint_rl.training.keypoint_evaluation import run_keypoint_evaluation

    run_keypoint_evaluation(config)
    return DONE


VERBS = {
    "keypoints evaluate": Verb(
        "score encoders' keypoints against masks: objects found, tracked and kept",
        (
            "mint-rl keypoints evaluate magical",
            "mint-rl keypoints evaluate runs/encoder magical:gamma=12,gate=none --variants Demo",
            "mint-rl keypoints evaluate magical --data demos/human.hdf5 --out runs/human.json",
        ),
        _evaluate,
        config="keypoint_evaluation",
        positional="encoders",
    ),
}
