"""The summary counts what is there."""

from __future__ import annotations

import numpy as np

from mint_rl.data.demonstrations import Demonstration, DemonstrationSet
from mint_rl.data.summary import summarise, summary_text

NAMES = [f"Action{number}" for number in range(18)]


def example() -> DemonstrationSet:
    demonstrations = []
    for actions, executed, score in (([3, 3, 5], [3, 0, 5], 1.0), ([5], [5], 0.5)):
        demonstrations.append(
            Demonstration(
                np.zeros((len(actions), 6, 4, 3), np.uint8),
                np.array(actions),
                np.array(executed),
                score,
                seed=0,
            )
        )
    return DemonstrationSet("magical/MakeLine-Demo-v0", demonstrations, source="made up")


def test_the_numbers() -> None:
    facts = summarise(example())
    assert facts["demonstrations"] == 2
    assert facts["steps"] == 4
    assert facts["length"] == {"min": 1, "mean": 2.0, "max": 3}
    assert facts["score"] == {"min": 0.5, "mean": 0.75, "max": 1.0}
    assert facts["image_shape"] == [6, 4, 3]
    assert facts["noisy_share"] == 0.25
    assert {action: count for action, count in enumerate(facts["actions"]) if count} == {3: 2, 5: 2}
    assert len(facts["actions"]) == 18


def test_the_text_names_what_matters_and_leaves_out_unused_actions() -> None:
    text = summary_text(example(), NAMES)
    for words in (
        "magical/MakeLine-Demo-v0",
        "made up",
        "2, 4 steps, 1–3 each",
        "mean 0.750",
        "6×4×3",
        "25.0%",
    ):
        assert words in text
    assert "Action3" in text
    assert "Action4" not in text
