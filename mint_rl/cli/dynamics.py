"""The verb that learns how keypoints move."""

from __future__ import annotations

from typing import Any

from mint_rl.cli.parser import DONE, INTERRUPTED, Verb


def _dynamics(config: Any) -> int:
    from mint_rl.training.dynamics import learn_dynamics
    from mint_rl.viz.dynamics_report import dynamics_report

    result = learn_dynamics(config)
    dynamics_report(result, max(config.horizons))
    return INTERRUPTED if result.interrupted else DONE


VERBS = {
    "dynamics": Verb(
        "learn to predict the next keypoints, and score it beside baselines",
        (
            "mint-rl dynamics --out runs/dynamics",
            "mint-rl dynamics --actions --envs MakeLine-TestJitter --seed 1 --out runs/told",
            "mint-rl dynamics --data clips/ --encoder runs/encoder --horizons 1 5 25",
            "mint-rl dynamics --data bouncing --max-videos 100 --stride 4 --encoder runs/bouncing",
            "mint-rl dynamics --data demos/human.hdf5 --actions network.rounds=2",
        ),
        _dynamics,
        config="dynamics",
    ),
}
